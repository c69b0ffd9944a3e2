// What is written on the shapes of a graph.
import { duration, plural } from "../format";
import type { Live } from "../live";
import type { NodeState } from "../states";
import type { Shape } from "./outline";

export function titleOf(shape: Shape): string {
  const { label, site, kind, code, gives, callee } = shape.node;
  if (kind === "branch" || kind === "loop" || kind === "try" || kind === "map") {
    const word = site.split("#")[0]!;
    return { if: "if", rest: "then", for: "for each", while: "while", map: "map", try: "try" }[word] ?? word;
  }
  if (kind === "python") return short(gives[0] ?? (code || label), 26);
  if (kind === "llm" || kind === "human") return gives[0] ?? short(quoted(code) ?? kind, 26);
  return short(callee ? callee.split(":").at(-1)! : site.split("#")[0]!, 26);
}

/** What is asked, of a call whose answer has no name: the beginning of the first text in its code. */
function quoted(code: string): string | null {
  const found = /["'`]+\s*([^"'`\n]{3,})/.exec(code);
  return found ? `“${found[1]!.trim()}”` : null;
}

export function subOf(shape: Shape, path: string, live: Live, state: NodeState): string {
  const { node } = shape;
  const box = live.journal.boxes.get(path);
  const inside = box && box.total > 0 ? plural(box.total, "node") : "";
  const row = live.journal.places.get(path)?.row;
  const kind = { llm: "model", human: "person", python: "code" }[node.kind] ?? node.kind;
  const time = row?.finished_at && row.started_at && state !== "given" ? duration(row.finished_at - row.started_at) : "";
  const tokens = row?.tokens?.output ? `${row.tokens.output} tok` : "";
  if (node.kind === "python") return "";
  return [kind, time, tokens || inside].filter(Boolean).join(" · ");
}

function short(text: string, most: number): string {
  const line = text.split("\n")[0]!;
  return line.length > most ? `${line.slice(0, most - 1)}…` : line;
}
