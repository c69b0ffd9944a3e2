// A question of a run to a person: a field by the JSON Schema of the answer.
import { signal, useSignal } from "@preact/signals";
import { post, runPath } from "../api";
import type { Live } from "../live";
import type { Json, Question } from "../types";
import { FieldInput, fieldOf, read, start } from "./form";
import { Button, Glyph } from "./parts";

export function QuestionCard({ live, question }: { live: Live; question: Question }) {
  const field = { ...fieldOf(`answer-${question.path}`, question.answer_schema, question.answer_schema, true) };
  if (!live.typed.has(question.path)) live.typed.set(question.path, signal(start(field)));
  const typed = live.typed.get(question.path)!;
  const problem = useSignal(question.problem ?? "");
  const state = useSignal<"open" | "sending" | "sent">("open");
  const send = async (event: Event): Promise<void> => {
    event.preventDefault();
    let value: Json;
    try {
      value = read(field, typed.value) ?? null;
    } catch (error) {
      problem.value = (error as Error).message;
      return;
    }
    state.value = "sending";
    try {
      await post(runPath(live.run, "answer"), { node: question.path, value });
    } catch (error) {
      problem.value = (error as Error).message;
      state.value = "open";
      return;
    }
    state.value = "sent";
    live.typed.delete(question.path);
    live.refresh().catch(() => {}); // the run's events tell, too
  };
  if (state.value === "sent" && !question.problem) return <p class="question sent" role="status"><Glyph state="done" />Answered. The run goes on.</p>;
  return (
    <form class="question" onSubmit={send} aria-label={`Question ${question.path}`}>
      <p class="question-from"><Glyph state="waiting" />The run asks</p>
      <p class="question-text">{question.question}</p>
      <FieldInput field={field} label="Your answer" value={typed.value} problem={problem.value || undefined} onChange={(value) => { typed.value = value; problem.value = ""; }} />
      <Button kind="primary" type="submit" disabled={state.value === "sending"}>{state.value === "sending" ? "Sending…" : "Answer"}</Button>
    </form>
  );
}
