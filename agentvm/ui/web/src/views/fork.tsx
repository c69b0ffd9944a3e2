// Forking: do a node again, or give it another value; or start from other inputs. All else is inherited.
import { useSignal } from "@preact/signals";
import { post, runPath } from "../api";
import type { Live } from "../live";
import { go } from "../router";
import type { Json, NodeDetail, Run } from "../types";
import { parsed } from "./form";
import { Button, Dialog, Problem } from "./parts";

export function ForkDialog({ live, node, onClose }: { live: Live; node: NodeDetail; onClose(): void }) {
  const asText = typeof node.output === "string";
  const how = useSignal<"set" | "again">(node.error ? "again" : "set");
  const typed = useSignal(asText ? (node.output as string) : JSON.stringify(node.output, null, 2));
  return (
    <ForkForm live={live} title={`Fork from ${node.path}`} onClose={onClose} body={() => {
      if (how.value === "again") return { at: node.path };
      const name = node.kind === "python" && node.variables?.length === 1 ? node.variables[0]! : node.path;
      return { at: node.path, set: { [name]: asText ? typed.value : parsed(typed.value) } };
    }}>
      <fieldset class="choices">
        <legend class="sr-only">What is to be different</legend>
        <label><input type="radio" name="how" checked={how.value === "set"} onChange={() => { how.value = "set"; }} /><span><b>Give it another value</b><small>It does not run; what depends on it runs again.</small></span></label>
        <label><input type="radio" name="how" checked={how.value === "again"} onChange={() => { how.value = "again"; }} /><span><b>Do it again</b><small>The same work once more, for another answer.</small></span></label>
      </fieldset>
      {how.value === "set" && (
        <div class="field">
          <label for="fork-value">Value<span class="hint">{asText ? "text" : "JSON"}</span></label>
          <textarea id="fork-value" class={asText ? "" : "mono"} rows={Math.min(14, Math.max(5, typed.value.split("\n").length))} value={typed.value} onInput={(event) => { typed.value = event.currentTarget.value; }} />
        </div>
      )}
    </ForkForm>
  );
}

export function ForkInputsDialog({ live, inputs, onClose }: { live: Live; inputs: Json; onClose(): void }) {
  const typed = useSignal(JSON.stringify(inputs, null, 2));
  return (
    <ForkForm live={live} title="Fork with other inputs" onClose={onClose} body={() => {
      const next = parsed(typed.value);
      if (typeof next !== "object" || next === null || Array.isArray(next)) throw new Error("A JSON object is needed: a value for each input.");
      const before = inputs as Record<string, Json>;
      const set = Object.fromEntries(Object.entries(next).filter(([name, value]) => JSON.stringify(value) !== JSON.stringify(before[name])));
      if (Object.keys(set).length === 0) throw new Error("Nothing is different yet: change an input.");
      return { set };
    }}>
      <div class="field">
        <label for="fork-inputs">Inputs<span class="hint">JSON</span></label>
        <textarea id="fork-inputs" class="mono" rows={8} value={typed.value} onInput={(event) => { typed.value = event.currentTarget.value; }} />
      </div>
    </ForkForm>
  );
}

interface FormProps {
  live: Live;
  title: string;
  onClose(): void;
  body(): Record<string, unknown>;
  children: import("preact").ComponentChildren;
}

function ForkForm({ live, title, onClose, body, children }: FormProps) {
  const deadline = useSignal("");
  const problem = useSignal("");
  const busy = useSignal(false);
  const send = async (event: Event): Promise<void> => {
    event.preventDefault();
    problem.value = "";
    try {
      const wanted = body();
      busy.value = true;
      const { run } = await post<{ run: Run }>(runPath(live.run, "fork"), { ...wanted, ...(deadline.value.trim() && { deadline: deadline.value.trim() }) });
      onClose();
      go(["runs", run.id]);
    } catch (error) {
      problem.value = (error as Error).message;
    } finally {
      busy.value = false;
    }
  };
  return (
    <Dialog title={title} onClose={onClose}>
      <form class="form" onSubmit={send}>
        <p class="about">A fork is a run of its own. It inherits every result that does not depend on the difference.</p>
        {children}
        <div class="field">
          <label for="fork-deadline">Deadline<span class="hint">such as 30s; the agent's own if empty</span></label>
          <input id="fork-deadline" value={deadline.value} onInput={(event) => { deadline.value = event.currentTarget.value; }} />
        </div>
        {problem.value && <Problem message={problem.value} />}
        <footer><Button onClick={onClose}>Cancel</Button><Button kind="primary" type="submit" disabled={busy.value}>{busy.value ? "Forking…" : "Fork"}</Button></footer>
      </form>
    </Dialog>
  );
}
