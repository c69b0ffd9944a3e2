// Goodput: which runs came in time, by how much, and what their tokens were worth.
import { useSignal } from "@preact/signals";
import { get } from "../api";
import { count, duration, percent, plural, shortAgent } from "../format";
import { useLooking } from "../looking";
import { href } from "../router";
import type { Engine, Goodput, RunAccount, Sums } from "../types";
import { Attained, ClassTable, OverTime, spansOf, type Sample } from "./attainment";
import { Empty, Facts, Problem, Segments, Skeleton } from "./parts";
import { useRoom } from "./room";

/** Looks at the engine that are kept, one each three seconds. */
const SAMPLES = 400;
const SPANS: [number | null, string][] = [[3600, "Last hour"], [86_400, "Last day"], [null, "All"]];

export function DashboardView() {
  const found = useSignal<Goodput | null>(null);
  const span = useSignal<number | null>(null);
  const problem = useSignal("");
  const samples = useSignal<Sample[]>([]);
  useLooking(async (over) => {
    const since = span.value === null ? "" : `?since=${Math.floor(Date.now() / 1000 - span.value)}`;
    const next = await get<Goodput>(`/v1/goodput${since}`);
    if (over()) return;
    found.value = next;
    if (next.engine) samples.value = [...samples.value.slice(-SAMPLES), { at: Date.now() / 1000, classes: next.engine.classes }];
  }, 3, [span.value], (message) => { problem.value = message; });
  const data = found.value;
  return (
    <main class="page" id="main">
      <header class="page-head">
        <h1>Goodput</h1>
        <Segments label="Time span" name="span" options={SPANS} value={span.value} onChange={(value) => { span.value = value; }} />
      </header>
      {problem.value && <Problem message={problem.value} />}
      {!data && !problem.value && <Skeleton />}
      {data && data.total.runs === 0 && !data.engine && <Empty title="No runs in this time"><p>Goodput counts what came by its deadline. Give a run one: <code>--deadline 30s</code>.</p></Empty>}
      {data && (data.total.runs > 0 || data.engine) && <Cards data={data} samples={samples.value} />}
    </main>
  );
}

function Cards({ data, samples }: { data: Goodput; samples: Sample[] }) {
  const { total } = data;
  const decided = total.met + total.missed;
  return (
    <>
      <div class="cards">
        <Card name="Deadlines met" value={percent(total.met, decided)} about={decided ? `${total.met} of ${plural(decided, "run")}${total.open ? `, ${total.open} still open` : ""}` : "no run with a deadline has ended"} share={decided ? total.met / decided : null} />
        <Card name="Goodput" value={percent(total.good_tokens, total.tokens_with_deadline)} about={`${count(total.good_tokens)} of ${plural(total.tokens_with_deadline, "token")} were in time`} share={total.tokens_with_deadline ? total.good_tokens / total.tokens_with_deadline : null} />
        <Card name="Tokens made" value={count(total.output_tokens)} about={`by ${plural(total.runs, "run")}`} share={null} />
        <Card name="Results reused" value={count(total.reused)} about="taken from the same work elsewhere, at no cost" share={null} />
      </div>
      <OverTime title="Over time" spans={data.spans} />
      <Slack runs={data.runs} />
      {Object.keys(data.classes).length > 0 && <section class="section"><h2>By class</h2><ClassTable classes={data.classes} caption="Runs by class" /></section>}
      <section class="section">
        <h2>By agent</h2>
        <div class="table-wrap" role="region" aria-label="Runs by agent" tabIndex={0}>
          <table class="table">
            <thead><tr><th scope="col">Agent</th><th scope="col" class="num">Runs</th><th scope="col" class="num">Met</th><th scope="col" class="num">Missed</th><th scope="col">Attainment</th><th scope="col" class="num">Tokens in time</th></tr></thead>
            <tbody>{Object.entries(data.agents).sort(([, a], [, b]) => b.runs - a.runs).map(([agent, sums]) => <AgentRow key={agent} agent={agent} sums={sums} />)}</tbody>
          </table>
        </div>
      </section>
      <section class="section">
        <h2>Engine</h2>
        {data.engine ? <EngineFacts engine={data.engine} samples={samples} /> : <p class="muted">No engine with the scheduler serves here now, so there is nothing to show of one. It starts with the first call of <code>--llm vllm:MODEL</code>.</p>}
      </section>
    </>
  );
}

function EngineFacts({ engine, samples }: { engine: Engine; samples: Sample[] }) {
  return (
    <>
      <ClassTable classes={engine.classes} caption="Requests by class since the engine started" />
      <OverTime title="Since this page was opened" spans={spansOf(samples)} />
      <Facts rows={[
        ["Running", plural(engine.running, "request")],
        ["Waiting", `${plural(engine.waiting, "request")}${engine.holding ? ", held back" : ""}`],
        ["Step", engine.steps ? `${duration(engine.step_seconds / engine.steps)} on average` : null],
        ["KV cache", engine.kv_cache === null ? null : percent(engine.kv_cache, 1)],
        ["Preemptions", count(engine.preemptions)],
        ["Best effort", engine.degraded ? `${plural(engine.degraded, "request")} that could not be in time` : null],
        ["Refused", engine.rejected ? plural(engine.rejected, "request") : null],
      ]} />
    </>
  );
}

function Card({ name, value, about, share }: { name: string; value: string; about: string; share: number | null }) {
  return (
    <div class="card-box">
      <h2>{name}</h2>
      <p class="card-value">{value}</p>
      {share !== null && <div class="meter" aria-hidden="true"><i class={share < 0.8 ? "soon" : "good"} style={{ width: `${100 * share}%` }} /></div>}
      <p class="muted">{about}</p>
    </div>
  );
}

function AgentRow({ agent, sums }: { agent: string; sums: Sums }) {
  return (
    <tr>
      <th scope="row"><a href={href([], { agent })}>{shortAgent(agent)}</a></th>
      <td class="num">{sums.runs}</td><td class="num">{sums.met}</td><td class="num">{sums.missed}</td>
      <td><Attained met={sums.met} missed={sums.missed} /></td>
      <td class="num">{sums.tokens_with_deadline ? `${count(sums.good_tokens)} of ${count(sums.tokens_with_deadline)}` : "–"}</td>
    </tr>
  );
}

/** Each ended run with a deadline as a mark: what was left of its time, as a share of it. */
function Slack({ runs }: { runs: RunAccount[] }) {
  const ended = runs.filter((each) => each.slack !== null && each.deadline_at !== null).slice(0, 200).reverse();
  const [ref, width] = useRoom(280);
  if (ended.length === 0) return null;
  const height = 170;
  const share = (each: RunAccount): number => Math.max(-1, each.slack! / (each.deadline_at! - each.started_at));
  const left = 84;
  const step = Math.min(26, (width - left) / ended.length);
  const y = (value: number): number => 14 + ((1 - value) * (height - 28)) / 2;
  const word = (each: RunAccount): string => `${shortAgent(each.agent)} ${each.run}: ${each.met ? "met" : "missed"}, ${each.slack! < 0 ? `late by ${duration(-each.slack!)}` : `${duration(each.slack!)} left`}`;
  return (
    <section class="section">
      <h2>Slack of the last {plural(ended.length, "run")}</h2>
      <figure class="chart" ref={ref}>
        <svg width={width} height={height} role="group" aria-label={`Time left at the end of ${ended.length} runs: ${ended.filter((each) => each.met).length} met their deadline.`}>
          {[1, 0, -1].map((each) => <g key={each} class={each === 0 ? "zero" : "grid"}><line x1={left - 8} x2={width} y1={y(each)} y2={y(each)} /><text x={left - 16} y={y(each) + 4} text-anchor="end">{each === 0 ? "deadline" : each > 0 ? "all left" : "twice over"}</text></g>)}
          {ended.map((each, n) => {
            const x = left + (n + 0.5) * step;
            const at = y(share(each));
            const r = Math.min(5, Math.max(2.5, step / 2.6));
            return (
              <a key={each.run} href={href(["runs", each.run])} aria-label={word(each)} class={each.met ? "good" : "late"}>
                <title>{word(each)}</title>
                <line x1={x} x2={x} y1={y(0)} y2={at} />
                {each.met ? <circle cx={x} cy={at} r={r} /> : <path d={`M${x - r} ${at - r}l${2 * r} ${2 * r}m0 ${-2 * r}l${-2 * r} ${2 * r}`} />}
              </a>
            );
          })}
        </svg>
        <figcaption><span class="good">● met</span> <span class="late">✕ missed</span> <span class="muted">height: time left as a share of the time allowed</span></figcaption>
      </figure>
    </section>
  );
}
