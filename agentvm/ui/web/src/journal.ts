// What is known of a run's nodes, folded from rows as they come; counts for every box around them are kept.
import { LOUDEST, type NodeState } from "./states";
import type { Active, NodeRow, Served } from "./types";

export interface Place {
  row: NodeRow;
  state: NodeState;
  /** In the order in which nodes were first heard of. */
  order: number;
}

export type Counts = Partial<Record<NodeState, number>>;

interface Box {
  counts: Counts;
  total: number;
  /** Highest iteration seen, of loops and maps; -1 if it is none. */
  last: number;
}

/** `a/b[1]/c` -> `a`, `a/b`, `a/b[1]`. */
export function around(path: string): string[] {
  const found: string[] = [];
  for (let at = 0; at < path.length; at++) {
    const c = path[at];
    if (c === "/" || c === "[") found.push(path.slice(0, at));
  }
  return found;
}

export class Journal {
  readonly places = new Map<string, Place>();
  readonly boxes = new Map<string, Box>();
  /** The scheduler's account of model calls, which comes when it has told. */
  readonly served = new Map<string, Served[]>();
  private active = new Set<string>();
  seq = 0;

  constructor(readonly run: string) {}

  add(row: NodeRow): void {
    if (row.run === this.run && row.seq > this.seq) this.seq = row.seq;
    if (row.served.length) this.served.set(row.path, row.served);
    const known = this.places.get(row.path);
    if (known && known.row.run === row.run && known.row.seq > row.seq) return; // newer was heard while this was on its way
    this.put(row.path, known ? { ...known.row, ...row } : row, stateOf(row, this.run));
    if (row.state === "done" || row.state === "failed") this.active.delete(row.path);
  }

  /** The calls that are under way now, all of them. */
  setActive(active: Active[]): void {
    const now = new Set(active.map((each) => each.path));
    for (const path of this.active) if (!now.has(path)) this.drop(path);
    for (const each of active) {
      const known = this.places.get(each.path);
      if (known?.state === "running" || known?.state === "waiting") continue;
      if (known && known.row.finished_at !== null && known.row.finished_at >= each.started_at) continue;
      this.put(each.path, { ...(known?.row ?? unknown(each.path, this.run)), started_at: each.started_at, finished_at: null }, "running");
    }
    this.active = now;
  }

  /** When nobody drives the run, nothing is under way. */
  rest(): void {
    this.setActive([]);
  }

  stateOf(path: string): NodeState | undefined {
    return this.places.get(path)?.state;
  }

  /** The state of all within a box. */
  boxState(box: string): NodeState | undefined {
    const found = this.boxes.get(box);
    return found && loudest(found.counts);
  }

  private put(path: string, row: NodeRow, state: NodeState): void {
    const known = this.places.get(path);
    if (known?.state !== state) {
      const above = around(path);
      for (const box of above) this.count(box, state, 1);
      if (known) for (const box of above) this.count(box, known.state, -1);
      else this.widen(path);
    }
    this.places.set(path, { row, state, order: known?.order ?? this.places.size });
  }

  /** A call that was under way and left no result: it was stopped. */
  private drop(path: string): void {
    const known = this.places.get(path);
    if (known?.state !== "running") return;
    for (const box of around(path)) this.count(box, "running", -1);
    this.places.delete(path);
  }

  private count(name: string, state: NodeState, by: number): void {
    let box = this.boxes.get(name);
    if (!box) this.boxes.set(name, (box = { counts: {}, total: 0, last: -1 }));
    box.counts[state] = (box.counts[state] ?? 0) + by;
    box.total += by;
  }

  private widen(path: string): void {
    for (const found of path.matchAll(/\[(\d+)\]/g)) {
      const box = this.boxes.get(path.slice(0, found.index));
      if (box) box.last = Math.max(box.last, Number(found[1]));
    }
  }
}

export function loudest(counts: Counts): NodeState | undefined {
  return LOUDEST.find((state) => (counts[state] ?? 0) > 0);
}

function stateOf(row: NodeRow, run: string): NodeState {
  switch (row.state) {
    case "failed": return "failed";
    case "running": return "running";
    case "waiting": return "waiting";
    case "given": return "given";
    case "started": return "doubt";
  }
  if (row.source === "given") return "given";
  const taken = row.source === "inherited" || row.source === "memo" || row.source === "shared";
  return taken || row.run !== run ? "reused" : "done";
}

function unknown(path: string, run: string): NodeRow {
  const site = path.split("/").at(-1)!.replace(/\[\d+\]$/, "");
  return {
    path, site, kind: kindOf(site), state: "running", source: "", reused: false, run, seq: 0,
    started_at: null, finished_at: null, tokens: null, ttft: null, deadline: null, slack: null, served: [], error: null,
  };
}

function kindOf(site: string): string {
  const label = site.split("#")[0]!;
  return label === "llm" || label === "human" ? label : "tool";
}
