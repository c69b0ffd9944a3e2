// The scheduler's account of a model call: how long it waited, was held back and ran, and how it ended.
import { duration } from "./format";
import type { Served } from "./types";

export interface Part {
  what: "waiting" | "held" | "served";
  from: number;
  to: number;
}

export const PARTS: Record<Part["what"], string> = { waiting: "waiting", held: "held back", served: "running" };

const OUTCOMES: Record<string, string> = {
  met: "in time for its objective",
  missed: "too late for its objective",
  no_objective: "without an objective",
  refused: "refused",
  aborted: "given up",
};

/** What a request did when. How much of its wait it was held back is known, not when: it is drawn at its end. */
export function partsOf(each: Served, now: number): Part[] {
  const end = each.finished_at ?? now;
  const begun = each.started_at ?? end;
  const held = Math.min(each.held_seconds ?? 0, begun - each.queued_at);
  const parts: Part[] = [
    { what: "waiting", from: each.queued_at, to: begun - held },
    { what: "held", from: begun - held, to: begun },
    { what: "served", from: begun, to: end },
  ];
  return parts.filter((part) => part.to - part.from > 0.0005);
}

/** In words, for those who do not see the bars. */
export function inWords(served: Served[], now: number): string {
  return served.map((each) => {
    const parts = partsOf(each, now).map(({ what, from, to }) => `${PARTS[what]} ${duration(to - from)}`);
    const times = each.preempted_at?.length ?? 0;
    if (times) parts.push(times === 1 ? "preempted once" : `preempted ${times} times`);
    return parts.join(", ");
  }).join("; then ");
}

export function outcomeOf(each: Served): string {
  return each.outcome ? OUTCOMES[each.outcome] ?? each.outcome : "";
}
