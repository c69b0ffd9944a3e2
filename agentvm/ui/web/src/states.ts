// The states of nodes and runs: a word, a glyph and a colour each, never a colour alone.
import type { RunStatus } from "./types";

export type NodeState =
  | "pending" | "running" | "done" | "reused" | "given" | "waiting" | "failed" | "doubt" | "skipped";

interface Look {
  word: string;
  glyph: string;
  about: string;
}

/** In the order of the legend. The class of a state is `s-STATE`. */
export const STATES: Record<NodeState, Look> = {
  pending: { word: "to come", glyph: "○", about: "not reached yet" },
  running: { word: "running", glyph: "◐", about: "under way now" },
  waiting: { word: "waiting", glyph: "?", about: "a person is asked" },
  done: { word: "done", glyph: "✓", about: "executed by this run" },
  reused: { word: "reused", glyph: "↺", about: "inherited, or taken from the same work" },
  given: { word: "given", glyph: "✎", about: "a value the fork was given" },
  failed: { word: "failed", glyph: "✕", about: "raised an error" },
  doubt: { word: "in doubt", glyph: "!", about: "a write began, its outcome is unknown" },
  skipped: { word: "not taken", glyph: "–", about: "the run ended without it" },
};

/** Of several states, the one that a box around them shows: the first of these that is there. */
export const LOUDEST: NodeState[] = ["failed", "doubt", "waiting", "running", "done", "given", "reused"];

export const RUNS: Record<RunStatus, { word: string; state: NodeState; glyph?: string }> = {
  queued: { word: "queued", state: "pending" },
  running: { word: "running", state: "running" },
  interrupted: { word: "interrupted", state: "doubt", glyph: "‖" },
  completed: { word: "completed", state: "done" },
  failed: { word: "failed", state: "failed" },
  suspended: { word: "waiting", state: "waiting" },
  uncertain: { word: "uncertain", state: "doubt" },
  cancelled: { word: "cancelled", state: "skipped" },
  deadline_missed: { word: "deadline missed", state: "failed" },
};

export const ENDED = new Set<RunStatus>(["completed", "failed", "cancelled", "deadline_missed"]);
/** Statuses in which nobody drives the run, and in which it may go on. */
export const RESUMABLE = new Set<RunStatus>(["interrupted", "failed", "deadline_missed"]);
