// All nodes of a run over time: one line each, with the run's deadline and how much time each call had left.
import { useComputed, useSignal } from "@preact/signals";
import { useEffect, useRef } from "preact/hooks";
import { duration } from "../format";
import type { Place } from "../journal";
import type { Live } from "../live";
import { plain } from "../prefs";
import { inWords, PARTS, partsOf, type Part } from "../served";
import { STATES, type NodeState } from "../states";
import type { Served } from "../types";
import { Empty, Glyph, Segments, Skeleton } from "./parts";
import { VirtualList } from "./virtual";

interface Props {
  live: Live;
  selected: string | null;
  onSelect(path: string): void;
}

const STATED: NodeState[] = ["running", "waiting", "failed", "done", "reused"];
const FILTERS: [NodeState | "all", string][] = [["all", "All"], ...STATED.map((each): [NodeState, string] => [each, STATES[each].word])];

export function Timeline({ live, selected, onSelect }: Props) {
  const text = useSignal("");
  const only = useSignal<NodeState | "all">("all");
  const now = useSignal(Date.now() / 1000);
  const search = useRef<HTMLInputElement>(null);
  const running = live.detail.value?.status === "running";
  useEffect(() => {
    if (!running) return;
    const timer = setInterval(() => { now.value = Date.now() / 1000; }, 250);
    return () => clearInterval(timer);
  }, [running]);

  const rows = useComputed(() => {
    live.version.value;
    const wanted = text.value.trim().toLowerCase();
    const found: Place[] = [];
    for (const each of live.journal.places.values()) {
      if (!plain.value && each.row.kind === "python" && each.state !== "failed" && each.state !== "given") continue;
      if (only.value !== "all" && each.state !== only.value) continue;
      if (wanted && !each.row.path.toLowerCase().includes(wanted)) continue;
      found.push(each);
    }
    return found.sort((a, b) => (a.row.started_at ?? 0) - (b.row.started_at ?? 0) || a.order - b.order);
  });

  const detail = live.detail.value;
  if (!detail || !live.loaded.value) return <Skeleton />;
  const start = detail.created_at;
  let end = detail.finished_at ?? (running ? now.value : start);
  for (const each of rows.value) if (each.state !== "reused") end = Math.max(end, each.row.finished_at ?? 0);
  const span = Math.max(end - start, 0.001);
  const due = detail.deadline_at;
  // The deadline is in the picture if that does not make all else too small to see.
  const whole = due !== null && due - start < span * 3 ? Math.max(span, (due - start) * 1.04) : span * 1.02;
  const share = (at: number): number => Math.min(100, Math.max(0, (100 * (at - start)) / whole));

  return (
    <div class="timeline">
      <div class="toolbar">
        <input ref={search} type="search" data-search placeholder="Filter nodes" aria-label="Filter nodes by path" aria-keyshortcuts="/" value={text.value}
          onInput={(event) => { text.value = event.currentTarget.value; }} />
        <Segments label="State" name="node-state" options={FILTERS} value={only.value} onChange={(value) => { only.value = value; }} />
        {live.journal.served.size > 0 && <PartsLegend />}
      </div>
      <div class="axis" aria-hidden="true">
        <div class="axis-names">Node</div>
        <div class="axis-track">
          {ticks(whole).filter((each) => due === null || due - start <= whole || each < whole * 0.75).map((each) => <span key={each} style={{ left: `${(100 * each) / whole}%` }}>{each === 0 ? "0" : duration(each)}</span>)}
          {due !== null && due - start <= whole && <span class="due" style={{ left: `${share(due)}%` }}>deadline</span>}
          {due !== null && due - start > whole && <span class="due far">deadline at {duration(due - start)} ›</span>}
        </div>
      </div>
      {rows.value.length === 0
        ? <Empty title={live.journal.places.size ? "No node fits the filter" : "No node has run yet"} />
        : <VirtualList items={rows.value} height={30} label="Nodes" class="timeline-rows" keyOf={(each) => each.row.path} selected={selected} onSelect={onSelect}
            unseen={(each) => `${STATES[each.state].word}${waits(live.journal.served.get(each.row.path), now.value)}`}
            row={(each) => <Row place={each} served={live.journal.served.get(each.row.path)} start={start} now={now.value} share={share} due={due !== null && due - start <= whole ? share(due) : null} />} />}
    </div>
  );
}

function waits(served: Served[] | undefined, now: number): string {
  return served ? `; ${inWords(served, now)}` : "";
}

interface RowProps {
  place: Place;
  served: Served[] | undefined;
  start: number;
  now: number;
  share(at: number): number;
  due: number | null;
}

function Row({ place, served, start, now, share, due }: RowProps) {
  const { row, state } = place;
  const at = row.path.lastIndexOf("/") + 1;
  const began = row.started_at;
  const until = row.finished_at ?? (state === "running" ? now : began);
  const earlier = began === null || began < start - 0.001;
  return (
    <>
      <div class="row-name">
        <Glyph state={state} />
        <span class="row-path"><bdi>{row.path.slice(0, at)}<b>{row.path.slice(at)}</b></bdi></span>
        <span class="row-tokens">{row.tokens?.output ? `${row.tokens.output} tok` : ""}</span>
      </div>
      <div class="row-track">
        {due !== null && <i class="due" style={{ left: `${due}%` }} />}
        {earlier
          ? <span class="row-note">{state === "given" ? "given by the fork" : "inherited"}</span>
          : <>
              <i class={`bar s-${state} ${served ? "faint" : ""}`} style={{ left: `${share(began)}%`, width: `${Math.max(0.3, share(until!) - share(began))}%` }} />
              {served?.map((each, n) => <Parts key={n} served={each} now={now} share={share} />)}
              <span class="row-note" style={share(until!) > 72 ? { right: `${101 - share(began)}%` } : { left: `${share(until!) + 0.8}%` }}>
                {state === "waiting" ? "asked" : duration(until! - began)}
                {row.slack !== null && <em class={row.slack < 0 ? "late" : ""}>{row.slack < 0 ? ` late by ${duration(-row.slack)}` : ` ${duration(row.slack)} slack`}</em>}
              </span>
            </>}
      </div>
    </>
  );
}

/** Within the bar of a model call: waiting, held back, running; a mark where it had to give way. */
function Parts({ served, now, share }: { served: Served; now: number; share(at: number): number }) {
  return (
    <>
      {partsOf(served, now).map(({ what, from, to }) => <i key={what} class={`part ${what}`} title={`${PARTS[what]} ${duration(to - from)}`} style={{ left: `${share(from)}%`, width: `${share(to) - share(from)}%` }} />)}
      {served.preempted_at?.map((at) => <i key={at} class="preempted" title="preempted" style={{ left: `${share(at)}%` }}>▾</i>)}
    </>
  );
}

function PartsLegend() {
  return (
    <ul class="parts-legend" aria-label="Bars of model calls">
      {(Object.keys(PARTS) as Part["what"][]).map((each) => <li key={each}><i class={`part ${each}`} aria-hidden="true" />{PARTS[each]}</li>)}
      <li><i class="preempted" aria-hidden="true">▾</i>preempted</li>
    </ul>
  );
}

function ticks(whole: number): number[] {
  const rough = whole / 5;
  const power = 10 ** Math.floor(Math.log10(rough));
  const step = [1, 2, 5, 10].map((each) => each * power).find((each) => each >= rough) ?? power;
  return Array.from({ length: Math.floor(whole / step) + 1 }, (_, n) => n * step).filter((each) => each < whole * 0.97);
}
