// What is beside the graph: the chosen node with all that is known of it, or the run as a whole.
import { useSignal, useSignalEffect } from "@preact/signals";
import { useEffect } from "preact/hooks";
import { get, runPath } from "../api";
import { count, duration, moment, plural } from "../format";
import type { Live } from "../live";
import { href } from "../router";
import { nodeAt } from "../graph/place";
import { ENDED, RUNS, STATES, type NodeState } from "../states";
import type { Json, NodeDetail, RunDetail, Served, Tree } from "../types";
import { AccountSection, remainingOf } from "./account";
import { DraftList, DraftSection } from "./draft";
import { ForkDialog } from "./fork";
import { QuestionCard } from "./question";
import { Button, Facts, Glyph, Named, Problem, Section, Skeleton, StateChip, Value } from "./parts";

export function NodeInspector({ live, path, onClose }: { live: Live; path: string; onClose(): void }) {
  const detail = useSignal<NodeDetail | null>(null);
  const problem = useSignal("");
  const forking = useSignal(false);
  live.version.value;
  const known = live.journal.places.get(path);
  const state = known?.state ?? live.journal.boxState(path);
  const box = live.journal.boxes.get(path);
  const stamp = `${known?.state} ${known?.row.seq} ${known?.row.run}`;

  useEffect(() => {
    const stop = new AbortController();
    let timer = 0;
    problem.value = "";
    if (!known) return; // nothing is recorded: what there is to say is in the program
    if (detail.peek()?.path !== path) detail.value = null;
    const look = (): Promise<void> => get<NodeDetail>(`${runPath(live.run, "node")}?path=${encodeURIComponent(path)}`, stop.signal).then(
      (found) => {
        detail.value = found;
        // Of a call under way only the engine knows how it fares.
        if (state === "running" && found.schedule.length) timer = window.setTimeout(look, 1500);
      },
      (error: Error) => { if (!stop.signal.aborted) problem.value = error.message; },
    );
    void look();
    return () => { stop.abort(); clearTimeout(timer); };
  }, [path, stamp]);

  const at = path.lastIndexOf("/") + 1;
  const found = detail.value;
  const question = live.detail.value?.questions.find((each) => each.path === path);
  const canFork = known !== undefined && found !== null && state !== undefined && state !== "running" && state !== "waiting";
  return (
    <div class="inspector-body">
      <header class="inspector-head">
        <div>
          <p class="crumb"><bdi>{path.slice(0, at) || "run / "}</bdi></p>
          <h2>{path.slice(at)}</h2>
          <p class="meta">{state ? <StateChip state={state} /> : <span class="muted">not reached</span>}<span>{found?.kind ?? known?.row.kind ?? nodeAt(live.graph.value, path)?.kind ?? ""}</span>{known && box && <span>{plural(box.total, "node")} inside</span>}</p>
        </div>
        <button type="button" class="icon-button" aria-label="Back to the run" title="Back to the run (Esc)" onClick={onClose}>✕</button>
      </header>
      {question && <QuestionCard live={live} question={question} />}
      {canFork && <div class="actions"><Button onClick={() => { forking.value = true; }}>Fork from here…</Button></div>}
      {problem.value && <Problem message={problem.value} />}
      {state === "running" && <DraftSection live={live} path={path} />}
      {!known && live.loaded.value && <PlaceFacts live={live} path={path} />}
      {(known || !live.loaded.value) && found === null && !problem.value && <Skeleton />}
      {found && <NodeFacts found={found} served={live.journal.served.get(path) ?? found.served} />}
      {forking.value && found && <ForkDialog live={live} node={found} onClose={() => { forking.value = false; }} />}
    </div>
  );
}

/** Of a loop, a map or a branch, and of a node that was not reached: what the program says, and how far it is. */
function PlaceFacts({ live, path }: { live: Live; path: string }) {
  const node = nodeAt(live.graph.value, path);
  const box = live.journal.boxes.get(path);
  const states = box ? (Object.keys(STATES) as NodeState[]).filter((each) => (box.counts[each] ?? 0) > 0) : [];
  return (
    <>
      {box && (
        <Section title={box.last >= 0 ? `${plural(box.last + 1, "iteration")} so far` : "Inside"}>
          <ul class="tally">{states.map((each) => <li key={each}><StateChip state={each} /><span>{plural(box.counts[each]!, "node")}</span></li>)}</ul>
        </Section>
      )}
      {!box && <Section title="Not reached"><p class="why">{ENDED.has(live.detail.value?.status ?? "running") ? "The run ended without coming here." : "The run has not come here yet."}</p></Section>}
      {node?.code && <Section title="Code" aside={node.line ? `line ${node.line}` : ""}><Value value={node.code} label="code" short /></Section>}
    </>
  );
}

function NodeFacts({ found, served }: { found: NodeDetail; served: Served[] }) {
  const took = found.started_at !== null && found.finished_at !== null ? found.finished_at - found.started_at : null;
  const d = found.detail;
  const known = found.inputs.filter((each) => each.known);
  return (
    <>
      {found.error && <Section title="Error"><Value value={found.error} label="error" /></Section>}
      {!found.error && (found.state === "done" || found.state === "given") && <Section title="Output"><Value value={found.output} label="output" /></Section>}
      {found.prompt && <Section title="Prompt"><Value value={found.prompt} label="prompt" short /></Section>}
      {known.length > 0 && (
        <Section title="Inputs">
          <Named values={known.map((each) => [each.name, each.value])} />
        </Section>
      )}
      <Section title="Timing">
        <Facts rows={[
          ["Started", found.started_at === null ? null : moment(found.started_at)],
          ["Took", took === null || found.state === "given" ? null : duration(took)],
          ["First token", found.ttft === null ? null : duration(found.ttft)],
          ["Tokens", found.tokens && `${count(found.tokens.input)} in${found.tokens.cached ? ` (${count(found.tokens.cached)} cached)` : ""}, ${count(found.tokens.output)} out`],
          ["Deadline sent", found.deadline === null ? null : moment(found.deadline)],
          ["Slack left", found.slack === null ? null : <span class={found.slack < 0 ? "late" : ""}>{found.slack < 0 ? `late by ${duration(-found.slack)}` : duration(found.slack)}</span>],
          ["Model", text(d.model)],
          ["Finished by", text(d.finish_reason)],
        ]} />
      </Section>
      {found.hints && Object.keys(found.hints).length > 0 && (
        <Section title="Hints" aside="what the scheduler was told">
          <Pairs values={{ ...found.hints, remaining: remainingOf(found.hints.remaining) }} />
        </Section>
      )}
      <AccountSection served={served} tokens={found.tokens?.output ?? null} />
      {found.schedule.length > 0 && <details class="fold"><summary>All that the engine says of it</summary>{found.schedule.map((each, n) => <Pairs key={n} values={each} />)}</details>}
      {found.attempts.length > 0 && <Section title="Failed attempts">{found.attempts.map((each, n) => <Pairs key={n} values={each} />)}</Section>}
      <Section title="Why">
        <p class="why">{sentence(found.why)}</p>
        {found.key && <p class="key">key <code>{found.key.slice(0, 16)}…</code></p>}
      </Section>
      {found.code && <Section title="Code" aside={found.line ? `line ${found.line}` : ""}><Value value={found.code} label="code" short /></Section>}
    </>
  );
}

const MOMENTS = /(_at|^deadline|^arrival|^run_deadline|^at)$/;

function Pairs({ values }: { values: Record<string, Json> }) {
  const rows = Object.entries(values).filter(([, value]) => value !== null && value !== "" && !(Array.isArray(value) && value.length === 0));
  return <Facts rows={rows.map(([name, value]) => [name.replaceAll("_", " "), shown(name, value)])} />;
}

function shown(name: string, value: Json) {
  if (typeof value === "number" && MOMENTS.test(name) && value > 1e9) return moment(value);
  if (typeof value === "number" && !Number.isInteger(value)) return value.toPrecision(4);
  return typeof value === "object" ? <code>{JSON.stringify(value)}</code> : String(value);
}

function text(value: Json | undefined): string | null {
  return typeof value === "string" ? value : null;
}

function sentence(found: string): string {
  return found ? `${found[0]!.toUpperCase()}${found.slice(1)}${found.endsWith(".") ? "" : "."}` : "Nothing is recorded of this node yet.";
}

export function RunInspector({ live, detail }: { live: Live; detail: RunDetail }) {
  const tree = useSignal<Tree | null>(null);
  useSignalEffect(() => {
    live.detail.value; // forks are other runs: looked at when anything of this one has changed
    get<Tree>(runPath(live.run, "tree")).then((found) => { tree.value = found; }, () => {});
  });
  return (
    <div class="inspector-body">
      <h2 class="sr-only">This run</h2>
      {detail.questions.map((each) => <QuestionCard key={each.path} live={live} question={each} />)}
      <DraftList live={live} />
      {detail.in_doubt.length > 0 && (
        <Section title="Writes in doubt">
          {detail.in_doubt.map((each) => <p key={each.path}><code>{each.path}</code> began at {moment(each.started_at)}. Look at the outside world, then: <code>agentvm resolve {detail.id} '{each.path}'</code></p>)}
        </Section>
      )}
      {detail.error && <Section title="Error"><Value value={detail.error} label="error" /></Section>}
      {detail.status === "completed" && <Section title="Result"><Value value={detail.result} label="result" /></Section>}
      <Section title="Inputs">
        {isRecord(detail.inputs) && Object.keys(detail.inputs).length > 0
          ? <Named values={Object.entries(detail.inputs)} />
          : <p class="muted">none</p>}
      </Section>
      {tree.value && tree.value.forks.length > 0 && <Section title="Forks"><ul class="tree"><Branch tree={tree.value} here={detail.id} /></ul></Section>}
      <Section title="About">
        <Facts rows={[
          ["Agent", <code key="agent">{detail.agent}</code>],
          ["File", detail.file && <code>{detail.file.split("/").slice(-2).join("/")}</code>],
          ["Model", detail.llm || null],
          ["Started", moment(detail.created_at)],
          ["Forked from", detail.parent && <a href={href(["runs", detail.parent])}>{detail.parent}</a>],
          ["Inherited", detail.inherited ? plural(detail.inherited, "result") : null],
        ]} />
      </Section>
      <Legend />
    </div>
  );
}

function isRecord(value: Json): value is Record<string, Json> {
  return typeof value === "object" && value !== null && !Array.isArray(value);
}

function Branch({ tree, here }: { tree: Tree; here: string }) {
  return (
    <li>
      <div class={`tree-row ${tree.run === here ? "here" : ""}`}>
        <Glyph state={RUNS[tree.status].state} glyph={RUNS[tree.status].glyph} />
        {tree.run === here ? <span aria-current="true">{tree.run}</span> : <a href={href(["runs", tree.run])}>{tree.run}</a>}
        <span class="muted tree-what">{tree.difference || "original"}</span>
        {tree.run !== here && <a class="link" href={href(["diff", here, tree.run])} aria-label={`Compare with ${tree.run}`}>compare</a>}
      </div>
      {tree.forks.length > 0 && <ul>{tree.forks.map((each) => <Branch key={each.run} tree={each} here={here} />)}</ul>}
    </li>
  );
}

export function Legend() {
  return (
    <Section title="Legend">
      <dl class="legend">
        {(Object.keys(STATES) as (keyof typeof STATES)[]).map((each) => (
          <div key={each}><dt><Glyph state={each} />{STATES[each].word}</dt><dd>{STATES[each].about}</dd></div>
        ))}
      </dl>
    </Section>
  );
}

