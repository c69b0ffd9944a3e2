// What the forms that begin a run have in common: a deadline, what went wrong, and going to the run that was begun.
import { useSignal } from "@preact/signals";
import type { ComponentChildren } from "preact";
import { post } from "../api";
import { go } from "../router";
import type { Run } from "../types";
import { Button, Problem } from "./parts";

interface Props {
  path: string;
  /** What is sent besides the deadline; null if what was typed is wrong, which the form then says. Throws with a message. */
  body(): Record<string, unknown> | null;
  /** Of the button: what it does, and what it says meanwhile. */
  words: [string, string];
  /** About the deadline where none is given. */
  otherwise: string;
  onClose(): void;
  children: ComponentChildren;
}

export function RunForm({ path, body, words, otherwise, onClose, children }: Props) {
  const deadline = useSignal("");
  const problem = useSignal("");
  const busy = useSignal(false);
  const send = async (event: Event): Promise<void> => {
    event.preventDefault();
    problem.value = "";
    try {
      const wanted = body();
      if (wanted === null) return;
      busy.value = true;
      const given = deadline.value.trim();
      const { run } = await post<{ run: Run }>(path, { ...wanted, ...(given && { deadline: given }) });
      onClose();
      go(["runs", run.id]);
    } catch (error) {
      problem.value = (error as Error).message;
    } finally {
      busy.value = false;
    }
  };
  return (
    <form class="form" onSubmit={send} noValidate>
      {children}
      <div class="field">
        <label for="run-deadline">Deadline<span class="hint">such as 30s; {otherwise}</span></label>
        <input id="run-deadline" value={deadline.value} onInput={(event) => { deadline.value = event.currentTarget.value; }} />
      </div>
      {problem.value && <Problem message={problem.value} />}
      <footer><Button onClick={onClose}>Cancel</Button><Button kind="primary" type="submit" disabled={busy.value}>{words[busy.value ? 1 : 0]}</Button></footer>
    </form>
  );
}

/** A field for text or JSON. */
export function TextField({ id, label, kind, value, rows, onInput }: { id: string; label: string; kind: "text" | "JSON"; value: string; rows: number; onInput(value: string): void }) {
  return (
    <div class="field">
      <label for={id}>{label}<span class="hint">{kind}</span></label>
      <textarea id={id} class={kind === "JSON" ? "mono" : ""} rows={rows} value={value} onInput={(event) => onInput(event.currentTarget.value)} />
    </div>
  );
}
