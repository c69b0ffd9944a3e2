// Forking: do a node again, or give it another value; or start from other inputs. All else is inherited.
import { useSignal } from "@preact/signals";
import type { ComponentChildren } from "preact";
import { runPath } from "../api";
import type { Live } from "../live";
import type { Json, NodeDetail } from "../types";
import { parsed } from "./form";
import { Dialog } from "./parts";
import { RunForm, TextField } from "./send";

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
        <TextField id="fork-value" label="Value" kind={asText ? "text" : "JSON"} rows={Math.min(14, Math.max(5, typed.value.split("\n").length))} value={typed.value} onInput={(value) => { typed.value = value; }} />
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
      <TextField id="fork-inputs" label="Inputs" kind="JSON" rows={8} value={typed.value} onInput={(value) => { typed.value = value; }} />
    </ForkForm>
  );
}

function ForkForm({ live, title, onClose, body, children }: { live: Live; title: string; onClose(): void; body(): Record<string, unknown>; children: ComponentChildren }) {
  return (
    <Dialog title={title} onClose={onClose}>
      <RunForm path={runPath(live.run, "fork")} body={body} words={["Fork", "Forking…"]} otherwise="the agent's own if empty" onClose={onClose}>
        <p class="about">A fork is a run of its own. It inherits every result that does not depend on the difference.</p>
        {children}
      </RunForm>
    </Dialog>
  );
}
