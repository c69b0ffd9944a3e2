// Starting a run: a form made from the inputs of the agent.
import { signal, useSignal } from "@preact/signals";
import { useEffect } from "preact/hooks";
import { get, post } from "../api";
import { duration } from "../format";
import { go } from "../router";
import type { AgentInfo, Json, Run } from "../types";
import { Fields, fieldsOf, parsed, readAll, useDraft } from "./form";
import { Button, Dialog, Empty, Problem, Skeleton } from "./parts";

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
  const deadline = useSignal("");
  const problem = useSignal("");
  const busy = useSignal(false);
  const send = async (event: Event): Promise<void> => {
    event.preventDefault();
    problem.value = "";
    try {
      const inputs: Json | null = fields ? readAll(fields, draft.value, problems) : parsed(json.value);
      if (inputs === null) return;
      busy.value = true;
      const { run } = await post<{ run: Run }>("/v1/runs", { agent: agent.ref, inputs, ...(deadline.value.trim() && { deadline: deadline.value.trim() }) });
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
      {fields ? <Fields fields={fields} draft={draft} problems={problems} /> : (
        <div class="field"><label for="inputs">Inputs<span class="hint">JSON object</span></label><textarea id="inputs" class="mono" rows={6} value={json.value} onInput={(event) => { json.value = event.currentTarget.value; }} /></div>
      )}
      <div class="field">
        <label for="deadline">Deadline<span class="hint">{agent.deadline ? `such as 30s; by default ${duration(agent.deadline)}` : "such as 30s; none if empty"}</span></label>
        <input id="deadline" value={deadline.value} onInput={(event) => { deadline.value = event.currentTarget.value; }} />
      </div>
      {problem.value && <Problem message={problem.value} />}
      <footer><Button onClick={onClose}>Cancel</Button><Button kind="primary" type="submit" disabled={busy.value}>{busy.value ? "Starting…" : "Start"}</Button></footer>
    </form>
  );
}
