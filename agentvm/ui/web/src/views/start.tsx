// Starting a run: a form made from the inputs of the agent.
import { signal, useSignal } from "@preact/signals";
import { useEffect } from "preact/hooks";
import { get } from "../api";
import { duration } from "../format";
import type { AgentInfo, Json } from "../types";
import { Fields, fieldsOf, parsed, readAll, useDraft } from "./form";
import { Dialog, Empty, Problem, Skeleton } from "./parts";
import { RunForm, TextField } from "./send";

export const starting = signal(false);
export const openStart = (): void => { starting.value = true; };

export function StartDialog() {
  const agents = useSignal<AgentInfo[] | null>(null);
  const chosen = useSignal("");
  const problem = useSignal("");
  useEffect(() => {
    get<AgentInfo[]>("/v1/agents").then(
      (found) => {
        agents.value = found;
        chosen.value = found[0]?.ref ?? "";
      },
      (error: Error) => { problem.value = error.message; },
    );
  }, []);
  const close = (): void => { starting.value = false; };
  const agent = agents.value?.find((each) => each.ref === chosen.value);
  return (
    <Dialog title="Start a run" onClose={close}>
      {problem.value && <Problem message={problem.value} />}
      {agents.value === null && !problem.value && <Skeleton rows={3} />}
      {agents.value?.length === 0 && <Empty title="No agents are registered"><p>Name their files when the server starts:</p><code class="command">agentvm ui FILE.py</code></Empty>}
      {agent && (
        <div class="form">
          <div class="field">
            <label for="agent">Agent</label>
            <select id="agent" value={chosen.value} onChange={(event) => { chosen.value = event.currentTarget.value; }}>
              {agents.value!.map((each) => <option key={each.ref} value={each.ref}>{each.name}</option>)}
            </select>
            {agent.doc && <p class="about">{agent.doc.split("\n\n")[0]}</p>}
          </div>
          <AgentForm key={agent.ref} agent={agent} onClose={close} />
        </div>
      )}
    </Dialog>
  );
}

function AgentForm({ agent, onClose }: { agent: AgentInfo; onClose(): void }) {
  const fields = fieldsOf(agent.input_schema);
  const { draft, problems } = useDraft(fields ?? []);
  const json = useSignal("{}");
  const body = (): Record<string, unknown> | null => {
    const inputs: Json | null = fields ? readAll(fields, draft.value, problems) : parsed(json.value);
    return inputs === null ? null : { agent: agent.ref, inputs };
  };
  const otherwise = agent.deadline ? `by default ${duration(agent.deadline)}` : "none if empty";
  return (
    <RunForm path="/v1/runs" body={body} words={["Start", "Starting…"]} otherwise={otherwise} onClose={onClose}>
      {fields
        ? <Fields fields={fields} draft={draft} problems={problems} />
        : <TextField id="inputs" label="Inputs" kind="JSON" rows={6} value={json.value} onInput={(value) => { json.value = value; }} />}
    </RunForm>
  );
}
