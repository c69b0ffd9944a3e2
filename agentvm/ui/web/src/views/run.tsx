// One run: how it stands and how much time it has, its graph or timeline, and what is chosen in it.
import { signal, useSignal } from "@preact/signals";
import { useEffect, useMemo } from "preact/hooks";
import { post, runPath } from "../api";
import { count, duration, shortAgent } from "../format";
import { warm } from "../graph/client";
import { Live } from "../live";
import { plain, runView } from "../prefs";
import { go, href, place, setQuery } from "../router";
import { ENDED, RESUMABLE } from "../states";
import type { RunDetail } from "../types";
import { CompareDialog } from "./compare";
import { ForkInputsDialog } from "./fork";
import { GraphView } from "./graph";
import { NodeInspector, RunInspector } from "./inspector";
import { Button, Empty, Problem, RunChip, Segments, Skeleton } from "./parts";
import { Timeline } from "./timeline";

const VIEWS = [["graph", "Graph"], ["timeline", "Timeline"]] as const;

export function RunView({ run }: { run: string }) {
  const live = useMemo(() => {
    const found = new Live(run);
    warm();
    return found;
  }, [run]);
  useEffect(() => () => live.close(), [live]);
  const selected = place.value.query.get("node");
  const select = (path: string | null): void => setQuery({ node: path });
  useEffect(() => {
    const onKey = (event: KeyboardEvent): void => {
      if (event.key === "Escape" && !document.querySelector("dialog[open]") && !(event.target as Element).matches("input, textarea")) select(null);
    };
    addEventListener("keydown", onKey);
    return () => removeEventListener("keydown", onKey);
  }, []);

  const error = live.error.value;
  if (error?.status === 404) return <main class="page" id="main"><Empty first title="There is no such run"><p>Run <code>{run}</code> is not in this store. It may have been removed.</p><a class="button" href={href([])}>See all runs</a></Empty></main>;
  const detail = live.detail.value;
  return (
    <main class="run-page" id="main">
      <div class="sr-only" role="status" aria-live="polite">{live.said.value}</div>
      {live.broken.value && <div class="banner" role="status" data-broken><span class="pulse" aria-hidden="true" />The server cannot be reached. Trying again…</div>}
      {detail ? <Header live={live} detail={detail} /> : <header class="run-head"><Skeleton rows={2} /></header>}
      <div class={`panes ${selected ? "with-node" : ""}`}>
        <section class="stage" aria-label={runView.value === "graph" ? "Graph" : "Timeline"}>
          <div class="stage-tools">
            <Segments label="View" name="view" options={VIEWS} value={runView.value} onChange={(value) => { runView.value = value; }} />
            <label class="switch"><input type="checkbox" checked={plain.value} onChange={() => { plain.value = !plain.value; }} />Plain code</label>
          </div>
          {!detail ? <Skeleton /> : runView.value === "graph"
            ? <GraphView live={live} selected={selected} onSelect={select} />
            : <Timeline live={live} selected={selected} onSelect={select} />}
        </section>
        <aside class="inspector" aria-label={selected ? "Node" : "Run"}>
          {selected ? <NodeInspector key={selected} live={live} path={selected} onClose={() => select(null)} /> : detail ? <RunInspector live={live} detail={detail} /> : <Skeleton />}
        </aside>
      </div>
    </main>
  );
}

const clock = signal(Date.now() / 1000);

function Header({ live, detail }: { live: Live; detail: RunDetail }) {
  const comparing = useSignal(false);
  const forking = useSignal(false);
  const problem = useSignal("");
  const busy = useSignal(false);
  const ended = ENDED.has(detail.status);
  useEffect(() => {
    if (ended) return;
    const timer = setInterval(() => { clock.value = Date.now() / 1000; }, 500);
    return () => clearInterval(timer);
  }, [ended]);
  live.version.value;
  const act = async (what: string, body: unknown = {}): Promise<void> => {
    problem.value = "";
    busy.value = true;
    try {
      await post(runPath(detail.id, what), body);
      await live.refresh();
    } catch (error) {
      problem.value = (error as Error).message;
    } finally {
      busy.value = false;
    }
  };
  const states = live.loaded.value ? tally(live) : { done: detail.nodes, reused: detail.inherited, running: 0, ...detail.tokens };
  return (
    <header class="run-head">
      <div class="run-title">
        <h1>{shortAgent(detail.agent)}</h1>
        <code class="run-id">{detail.id}</code>
        <RunChip status={detail.status} />
        {detail.parent && <span class="muted fork-note">forked from <a href={href(["runs", detail.parent])}>{detail.parent}</a>{detail.difference && `: ${detail.difference}`}</span>}
      </div>
      <div class="run-actions">
        {!ended && detail.status !== "interrupted" && <Button kind="danger" disabled={busy.value} onClick={() => act("cancel")}>Cancel</Button>}
        {RESUMABLE.has(detail.status) && <Button kind="primary" disabled={busy.value} onClick={() => act("resume", { retry: detail.status === "failed" })}>{detail.status === "failed" ? "Try again" : "Resume"}</Button>}
        <Button onClick={() => { comparing.value = true; }}>Compare…</Button>
        <Button onClick={() => { forking.value = true; }}>Fork…</Button>
      </div>
      <dl class="numbers">
        <Deadline detail={detail} now={ended ? detail.finished_at ?? clock.value : clock.value} />
        <div><dt>Nodes</dt><dd>{count(states.done + states.reused)}{states.reused > 0 && <small>{count(states.reused)} reused</small>}{states.running > 0 && <small class="s-running">{count(states.running)} running</small>}</dd></div>
        <div><dt>Tokens</dt><dd>{count(states.output)}<small>out</small>{count(states.input)}<small>in</small></dd></div>
      </dl>
      {problem.value && <Problem message={problem.value} />}
      {comparing.value && <CompareDialog run={detail.id} onClose={() => { comparing.value = false; }} onPick={(other) => go(["diff", detail.id, other])} />}
      {forking.value && <ForkInputsDialog live={live} inputs={detail.inputs} onClose={() => { forking.value = false; }} />}
    </header>
  );
}

function tally(live: Live): { done: number; reused: number; running: number; input: number; output: number } {
  const found = { done: 0, reused: 0, running: 0, input: 0, output: 0 };
  for (const { row, state } of live.journal.places.values()) {
    if (state === "running") found.running++;
    else if (state === "reused" || state === "given") found.reused++;
    else if (state === "done") found.done++;
    if (row.tokens && state !== "reused") {
      found.input += row.tokens.input;
      found.output += row.tokens.output;
    }
  }
  return found;
}

/** How much of its time the run has used; after its end, what was left. */
function Deadline({ detail, now }: { detail: RunDetail; now: number }) {
  const used = Math.max(0, now - detail.created_at);
  if (detail.deadline_at === null) return <div><dt>Time</dt><dd>{duration(used)}<small>no deadline</small></dd></div>;
  const allowed = detail.deadline_at - detail.created_at;
  const left = detail.deadline_at - now;
  const ended = ENDED.has(detail.status);
  const met = ended ? detail.deadline_met : left >= 0 ? null : false;
  const verdict = ended && detail.deadline_met ? `met, ${duration(left)} left` : left < 0 ? `late by ${duration(-left)}` : ended ? `not met` : `${duration(left)} left`;
  return (
    <div class="deadline">
      <dt>Time</dt>
      <dd>{duration(used)}<small>of {duration(allowed)}</small><small class={met === false ? "late" : met ? "good" : ""}>{verdict}</small>
      <div class="meter" role="meter" aria-label="Time used of the deadline" aria-valuemin={0} aria-valuemax={100} aria-valuenow={Math.round(Math.min(100, (100 * used) / allowed))}>
        <i class={met === false ? "late" : left < allowed * 0.2 && !ended ? "soon" : ""} style={{ width: `${Math.min(100, (100 * used) / allowed)}%` }} />
      </div></dd>
    </div>
  );
}

