// A question of a run to a person: a field by the JSON Schema of the answer.
import { useSignal } from "@preact/signals";
import { post, runPath } from "../api";
import type { Live } from "../live";
import type { Json, Question } from "../types";
import { FieldInput, fieldOf, read, start } from "./form";
import { Button, Glyph } from "./parts";

export function QuestionCard({ live, question }: { live: Live; question: Question }) {
  const field = { ...fieldOf(`answer-${question.path}`, question.answer_schema, question.answer_schema, true) };
  const typed = useSignal<string | boolean | undefined>(start(field));
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
      state.value = "sent";
      await live.refresh();
    } catch (error) {
      problem.value = (error as Error).message;
      state.value = "open";
    }
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
