// What the scheduler did with a model call: each step with its time, and why.
import { count, duration, moment } from "../format";
import { outcomeOf } from "../served";
import type { Json, Served } from "../types";
import { Facts, Section } from "./parts";

export function AccountSection({ served, tokens }: { served: Served[]; tokens: number | null }) {
  if (served.length === 0) return null;
  return (
    <Section title="Scheduler" aside="its account of the call">
      {served.map((each, n) => <Account key={n} served={each} tokens={tokens} attempt={served.length > 1 ? n + 1 : 0} />)}
    </Section>
  );
}

function Account({ served, tokens, attempt }: { served: Served; tokens: number | null; attempt: number }) {
  const since = (at: number): string => duration(Math.max(0, at - served.queued_at));
  const { started_at: started, finished_at: finished } = served;
  const steps: [string, string][] = [["queued", moment(served.queued_at)]];
  if (served.held_seconds) steps.push(["held back", `${duration(served.held_seconds)} of its wait, though there was room: running requests would have been late`]);
  if (started) steps.push(["started", `after ${since(started)}`]);
  for (const at of served.preempted_at ?? []) steps.push(["preempted", `after ${since(at)}: it had to give up its memory, and waited again`]);
  if (finished) steps.push([served.outcome === "refused" ? "refused" : "finished", `after ${since(finished)}, ${outcomeOf(served)}`]);
  else steps.push([started ? "running" : "waiting", "now"]);
  return (
    <>
      {attempt > 0 && <h4 class="attempt">Request {attempt}</h4>}
      <ol class="account">{steps.map(([what, about], n) => <li key={n} class={`step-${what.split(" ")[0]}`}><b>{what}</b><span>{about}</span></li>)}</ol>
      <Facts rows={[
        ["Why", served.why ?? null],
        ["Expected", served.expected_tokens ? `${count(served.expected_tokens)} tokens out${tokens === null ? "" : `, ${count(tokens)} came`}` : null],
        ["Hints", served.updates ? `changed ${served.updates === 1 ? "once" : `${served.updates} times`} while it was here` : null],
      ]} />
    </>
  );
}

interface Stage { times?: number; calls?: number; input_tokens?: number; output_tokens?: number; tool_seconds?: number }

/** The forecast that went with a call: what its run still has to do after it. */
export function remainingOf(value: Json | undefined): string | null {
  if (!Array.isArray(value) || value.length === 0) return null;
  return (value as Stage[]).map((each) => {
    const parts = [];
    if (each.calls ?? 1) parts.push(`${(each.calls ?? 1) > 1 ? `${each.calls} calls side by side` : "a call"}${each.output_tokens ? ` of about ${count(each.output_tokens)} tokens` : ""}`);
    if (each.tool_seconds) parts.push(`${duration(each.tool_seconds)} in tools`);
    return `${(each.times ?? 1) > 1 ? `${each.times} times ` : ""}${parts.join(" and ")}`;
  }).join(", then ");
}
