// The list of runs, newest first, with filters; looked at again while the page is in sight.
import { useComputed, useSignal } from "@preact/signals";
import { useEffect } from "preact/hooks";
import { get } from "../api";
import { ago, count, duration, shortAgent } from "../format";
import { useLooking } from "../looking";
import { go, place, setQuery } from "../router";
import { ENDED, RUNS } from "../states";
import type { Run, RunPage } from "../types";
import { Button, Empty, Problem, RunChip, Segments, Skeleton } from "./parts";
import { openStart } from "./start";
import { VirtualList } from "./virtual";

const STATUSES = ["running", "suspended", "completed", "failed", "interrupted"] as const;
const FILTERS: [string, string][] = [["all", "All"], ...STATUSES.map((each): [string, string] => [each, RUNS[each].word])];
const PAGE = 100;

export function RunsView() {
  const runs = useSignal<Run[] | null>(null);
  const next = useSignal<string | null>(null);
  const problem = useSignal("");
  const now = useSignal(Date.now() / 1000);
  const selected = useSignal<string | null>(null);
  const said = useSignal("");
  const query = place.value.query;
  const status = query.get("status") ?? "all";
  const agent = query.get("agent") ?? "";
  const text = query.get("q") ?? "";

  const path = (after?: string): string => {
    const wanted = new URLSearchParams({ limit: String(PAGE) });
    if (status !== "all") wanted.set("status", status);
    if (agent) wanted.set("agent", agent);
    if (after) wanted.set("after", after);
    return `/v1/runs?${wanted}`;
  };
  useEffect(() => { runs.value = null; }, [status, agent]);
  useLooking(async (over) => {
    const page = await get<RunPage>(path());
    if (over()) return;
    announce(runs.peek(), page.runs, (what) => { said.value = what; });
    const older = (runs.peek() ?? []).slice(PAGE);
    runs.value = older.length ? [...page.runs, ...older.filter((each) => !page.runs.some((one) => one.id === each.id))] : page.runs;
    if (!older.length) next.value = page.next;
    now.value = Date.now() / 1000;
  }, 1.5, [status, agent], (message) => { problem.value = message; });

  const shown = useComputed(() => {
    const wanted = (place.value.query.get("q") ?? "").trim().toLowerCase();
    return (runs.value ?? []).filter((each) => !wanted || each.id.includes(wanted) || each.agent.toLowerCase().includes(wanted));
  });
  const agents = useComputed(() => [...new Set((runs.value ?? []).map((each) => each.agent))].sort());
  const more = async (): Promise<void> => {
    const page = await get<RunPage>(path(next.value!));
    runs.value = [...(runs.value ?? []), ...page.runs];
    next.value = page.next;
  };
  const filtered = status !== "all" || agent !== "" || text !== "";

  return (
    <main class="page runs" id="main">
      <header class="page-head"><h1>Runs</h1><Button kind="primary" class="small-only" onClick={openStart}>Start a run</Button></header>
      <div class="toolbar">
        <input type="search" data-search placeholder="Filter by run or agent" aria-label="Filter runs" aria-keyshortcuts="/" value={text} onInput={(event) => setQuery({ q: event.currentTarget.value || null })} />
        <Segments label="Status" name="status" options={FILTERS} value={status} onChange={(value) => setQuery({ status: value === "all" ? null : value })} />
        <select aria-label="Agent" value={agent} onChange={(event) => setQuery({ agent: event.currentTarget.value || null })}>
          <option value="">All agents</option>
          {[...new Set([...agents.value, ...(agent ? [agent] : [])])].map((each) => <option key={each} value={each}>{shortAgent(each)}</option>)}
        </select>
      </div>
      <div class="sr-only" role="status" aria-live="polite">{said.value}</div>
      {problem.value && <Problem message={problem.value} />}
      {runs.value === null && !problem.value && <Skeleton />}
      {runs.value !== null && shown.value.length === 0 && (filtered
        ? <Empty title="No run fits the filters"><Button onClick={() => go([])}>Show all runs</Button></Empty>
        : <Empty title="No runs yet"><p>Start one here, or on the command line:</p><code class="command">agentvm run FILE.py:AGENT -i name=value</code><Button kind="primary" onClick={openStart}>Start a run</Button></Empty>)}
      {shown.value.length > 0 && (
        <div class="run-table">
          <div class="run-row head" aria-hidden="true"><span>Agent</span><span>Status</span><span>Progress</span><span>Deadline</span><span>Started</span><span>Time</span></div>
          <VirtualList items={shown.value} height={52} label="Runs" keyOf={(each) => each.id} selected={selected.value} onSelect={(id) => { if (selected.value === id || !keyboard) go(["runs", id]); else selected.value = id; }}
            onOpen={(id) => go(["runs", id])}
            row={(each) => <Row run={each} now={now.value} />} />
          {next.value && <Button class="more" onClick={more}>Load older runs</Button>}
        </div>
      )}
    </main>
  );
}

/** Whether the last thing touched was a key: then choosing a line only marks it, and Enter opens it. */
let keyboard = false;
addEventListener("keydown", () => { keyboard = true; }, true);
addEventListener("pointerdown", () => { keyboard = false; }, true);

function Row({ run, now }: { run: Run; now: number }) {
  const ended = run.finished_at ?? (ENDED.has(run.status) ? run.created_at : now);
  const done = run.progress ? run.progress.executed + run.progress.reused : null;
  return (
    <div class="run-row">
      <span class="run-agent"><b>{shortAgent(run.agent)}</b><small><code>{run.id}</code>{run.parent && <em title={`forked from ${run.parent}`}>↳ {run.difference || "fork"}</em>}</small></span>
      <span><RunChip status={run.status} /></span>
      <span class="muted">{done !== null ? <>{count(done)} nodes{run.progress!.running.length > 0 && <small class="s-running"> · {run.progress!.running.length} running</small>}</> : `${count(run.events)} events`}</span>
      <span><span class="sr-only">deadline: </span>{run.deadline_at === null ? <span class="muted">none</span> : <DeadlineCell run={run} now={now} />}</span>
      <span class="muted">{ago(run.created_at, now)}</span>
      <span class="num">{run.status === "interrupted" || run.status === "suspended" ? "–" : duration(Math.max(0, ended - run.created_at))}</span>
    </div>
  );
}

function DeadlineCell({ run, now }: { run: Run; now: number }) {
  const at = run.deadline_at!;
  if (run.finished_at !== null) {
    const left = at - run.finished_at;
    if (run.deadline_met) return <span class="good">✓ met, {duration(left)} left</span>;
    return <span class="late">✕ {left < 0 ? `late by ${duration(-left)}` : "not met"}</span>;
  }
  return now > at ? <span class="late">late by {duration(now - at)}</span> : <span>{duration(at - now)} left</span>;
}

function announce(before: Run[] | null, after: Run[], say: (what: string) => void): void {
  if (!before) return;
  const known = new Map(before.map((each) => [each.id, each.status]));
  const changed = after.filter((each) => known.has(each.id) && known.get(each.id) !== each.status);
  if (changed.length) say(changed.slice(0, 3).map((each) => `${shortAgent(each.agent)} is ${RUNS[each.status].word}`).join(". "));
}
