// Two runs side by side: where they parted, and what that led to.
import { useSignal } from "@preact/signals";
import { useEffect } from "preact/hooks";
import { get } from "../api";
import { plural, shortAgent } from "../format";
import { go, href } from "../router";
import type { Diff, DiffRow, DiffSide, Run } from "../types";
import { compare, type Piece } from "../words";
import { Button, Empty, Glyph, Problem, RunChip, Skeleton } from "./parts";

export function DiffView({ a, b }: { a: string; b: string }) {
  const found = useSignal<Diff | null>(null);
  const problem = useSignal("");
  const all = useSignal(false);
  const load = (): void => {
    problem.value = "";
    get<Diff>(`/v1/diff?a=${encodeURIComponent(a)}&b=${encodeURIComponent(b)}`).then(
      (diff) => { found.value = diff; },
      (error: Error) => { problem.value = error.message; },
    );
  };
  useEffect(load, [a, b]);
  if (problem.value) return <main class="page" id="main"><Problem message={problem.value} onRetry={load} /></main>;
  const diff = found.value;
  if (!diff) return <main class="page" id="main"><Skeleton /></main>;
  const parted = diff.rows.filter((each) => each.parted);
  const rest = diff.rows.filter((each) => !each.parted);
  const plainRows = rest.filter((each) => each.kind === "python").length;
  const led = all.value ? rest : rest.filter((each) => each.kind !== "python");
  return (
    <main class="page diff" id="main">
      <header class="page-head">
        <h1>Two runs side by side</h1>
        <Button onClick={() => go(["diff", b, a])}>Swap</Button>
      </header>
      <p class="diff-sum">
        <Same yes={diff.same_inputs} what="inputs" /><Same yes={diff.same_program} what="program" /><Same yes={diff.same_result} what="result" />
        <span class="muted">{plural(diff.same, "node")} alike, {diff.rows.length} different</span>
      </p>
      <div class="diff-heads"><Side letter="A" run={diff.a} /><Side letter="B" run={diff.b} /></div>
      {diff.rows.length === 0 && <Empty title="The runs came to the same everywhere" />}
      {parted.length > 0 && <Rows title="They parted here" rows={parted} first />}
      {led.length > 0 && <Rows title={parted.length ? "Which led to" : "They differ in"} rows={led} />}
      {plainRows > 0 && <button type="button" class="link" onClick={() => { all.value = !all.value; }}>{all.value ? "Hide plain code" : `Show ${plural(plainRows, "difference")} in plain code`}</button>}
    </main>
  );
}

function Same({ yes, what }: { yes: boolean; what: string }) {
  return <span class={`chip ${yes ? "s-done" : "s-given"}`}><span class="glyph" aria-hidden="true">{yes ? "=" : "≠"}</span>{yes ? "same" : "other"} {what}</span>;
}

function Side({ letter, run }: { letter: string; run: Run }) {
  return (
    <div class="diff-head">
      <span class="letter" aria-hidden="true">{letter}</span>
      <div><b>{shortAgent(run.agent)}</b> <a href={href(["runs", run.id])}><code>{run.id}</code></a>{run.difference && <p class="muted">{run.difference}</p>}</div>
      <RunChip status={run.status} />
    </div>
  );
}

function Rows({ title, rows, first }: { title: string; rows: DiffRow[]; first?: boolean }) {
  return (
    <section class={first ? "parted" : ""}>
      <h2>{title}</h2>
      {rows.slice(0, 200).map((each) => <Row key={each.path} row={each} />)}
      {rows.length > 200 && <p class="muted">and {plural(rows.length - 200, "more node")}; see agentvm diff --json</p>}
    </section>
  );
}

function Row({ row }: { row: DiffRow }) {
  const [a, b] = compare(textOf(row.a), textOf(row.b));
  return (
    <article class="diff-row" aria-label={row.path} data-path={row.path}>
      <header><Glyph state={row.parted ? "given" : "pending"} /><code>{row.path}</code><span class="muted">{row.how}</span></header>
      <Cell side={row.a} letter="A" pieces={a} path={row.path} />
      <Cell side={row.b} letter="B" pieces={b} path={row.path} />
    </article>
  );
}

function Cell({ side, letter, pieces, path }: { side: DiffSide; letter: string; pieces: Piece[]; path: string }) {
  if (!side.present) return <div class="diff-cell absent"><span class="muted">not in {letter}</span></div>;
  return (
    <pre class={`diff-cell side-${letter.toLowerCase()}`} tabIndex={0} role="region" aria-label={`${path} in ${letter}`}>
      {side.error && <span class="late">raised </span>}
      {pieces.map((each, n) => (each.changed ? <mark key={n}>{each.text}</mark> : each.text))}
    </pre>
  );
}

function textOf(side: DiffSide): string {
  if (!side.present) return "";
  const value = side.error ?? side.value;
  return typeof value === "string" ? value : JSON.stringify(value, null, 2);
}
