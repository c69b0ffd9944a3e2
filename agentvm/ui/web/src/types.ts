// What the server sends. Times are Unix seconds.

export type RunStatus =
  | "queued" | "running" | "interrupted" | "completed" | "failed"
  | "suspended" | "uncertain" | "cancelled" | "deadline_missed";

export type Json = null | boolean | number | string | Json[] | { [key: string]: Json };

export interface Tokens {
  input: number;
  output: number;
  cached: number;
}

export interface Active {
  path: string;
  started_at: number;
}

export interface Run {
  id: string;
  agent: string;
  status: RunStatus;
  created_at: number;
  finished_at: number | null;
  deadline_at: number | null;
  deadline_met: boolean | null;
  parent: string | null;
  difference: string;
  events: number;
  progress: { executed: number; reused: number; tokens: Tokens; running: Active[] } | null;
}

export interface Question {
  path: string;
  question: string;
  answer_schema: Schema;
  asked_at: number;
  problem: string | null;
}

export interface RunDetail extends Run {
  llm: string;
  file: string | null;
  served: boolean;
  inputs: Json;
  result: Json;
  error: string | null;
  tokens: Tokens;
  nodes: number;
  inherited: number;
  questions: Question[];
  in_doubt: { path: string; site: string; started_at: number }[];
}

export interface RunPage {
  runs: Run[];
  next: string | null;
}

/** What the engine's scheduler noted of one request. */
export interface Served {
  queued_at: number;
  started_at?: number | null;
  finished_at?: number | null;
  held_seconds?: number;
  preempted_at?: number[];
  updates?: number;
  expected_tokens?: number;
  outcome?: string;
  why?: string;
}

/** One execution of a node, as far as it is recorded. */
export interface NodeRow {
  path: string;
  site: string;
  kind: string;
  state: "done" | "failed" | "running" | "started" | "waiting" | "given";
  source: string;
  reused: boolean;
  run: string;
  seq: number;
  started_at: number | null;
  finished_at: number | null;
  tokens: Tokens | null;
  ttft: number | null;
  deadline: number | null;
  slack: number | null;
  served: Served[];
  error: string | null;
}

export interface NodePage {
  nodes: NodeRow[];
  total: number;
}

export interface NodeDetail extends NodeRow {
  key: string;
  code: string;
  line: number | null;
  effect: string;
  inputs: { name: string; known: boolean; value: Json }[];
  prompt: string | null;
  output: Json;
  why: string;
  attempts: Record<string, Json>[];
  detail: Record<string, Json>;
  hints: Record<string, Json> | null;
  schedule: Record<string, Json>[];
  variables?: string[];
}

export interface GraphNode {
  site: string;
  kind: string;
  label: string;
  code: string;
  effect: string;
  line: number;
  callee: string | null;
  gives: string[];
  regions: GraphRegion[];
}

export interface GraphRegion {
  title: string;
  params: string[];
  nodes: GraphNode[];
  edges: { source: string; target: string; kind: "value" | "order" }[];
}

export interface Graph {
  programs: { name: string; file: string; body: GraphRegion }[];
}

export interface Tree {
  run: string;
  status: RunStatus;
  difference: string;
  created_at: number;
  forks: Tree[];
}

export interface Schema {
  type?: string | string[];
  title?: string;
  description?: string;
  default?: Json;
  enum?: Json[];
  const?: Json;
  anyOf?: Schema[];
  properties?: Record<string, Schema>;
  required?: string[];
  items?: Schema;
  minimum?: number;
  maximum?: number;
  minLength?: number;
  maxLength?: number;
  $ref?: string;
  $defs?: Record<string, Schema>;
}

export interface AgentInfo {
  name: string;
  ref: string;
  doc: string;
  signature: string;
  input_schema: Schema;
  deadline: number | null;
}

export interface DiffSide {
  present: boolean;
  source: string;
  value: Json;
  error: string | null;
}

export interface DiffRow {
  path: string;
  kind: string;
  how: string;
  parted: boolean;
  a: DiffSide;
  b: DiffSide;
}

export interface Diff {
  a: Run;
  b: Run;
  same_inputs: boolean;
  same_program: boolean;
  same_result: boolean;
  same: number;
  rows: DiffRow[];
}

export interface Sums {
  runs: number;
  with_deadline: number;
  met: number;
  missed: number;
  open: number;
  output_tokens: number;
  reused: number;
  good_tokens: number;
  tokens_with_deadline: number;
}

export interface RunAccount {
  run: string;
  agent: string;
  status: RunStatus;
  started_at: number;
  finished_at: number | null;
  deadline_at: number | null;
  met: boolean | null;
  slack: number | null;
  output_tokens: number;
  reused: number;
  good_tokens: number;
}

export interface Goodput {
  limit: number;
  runs: RunAccount[];
  agents: Record<string, Sums>;
  total: Sums;
  classes: Record<string, ClassSums>;
  spans: Span[];
  engine: Engine | null;
}

/** Requests of one class that are decided. */
export interface ClassSums {
  met: number;
  missed: number;
  others: number;
  output_tokens: number;
  good_tokens: number;
}

export interface Span {
  start: number;
  end: number;
  classes: Record<string, ClassSums>;
}

export interface Engine {
  classes: Record<string, ClassSums>;
  running: number;
  waiting: number;
  kv_cache: number | null;
  preemptions: number;
  degraded: number;
  rejected: number;
  holding: boolean;
  steps: number;
  step_seconds: number;
}
