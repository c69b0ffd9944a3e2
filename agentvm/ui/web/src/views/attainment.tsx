// Goodput by class over time: what was met above the line, what was missed below it; and the same as a table.
import { count, moment, percent, plural } from "../format";
import type { ClassSums, Span } from "../types";
import { useRoom } from "./room";

export const CLASSES: Record<string, string> = {
  compound: "Runs with a deadline",
  deadline: "Calls with a deadline",
  latency: "Calls with a pace",
  best_effort: "Best effort",
};

export function classWord(name: string): string {
  return CLASSES[name] ?? name.replaceAll("_", " ");
}

export function Attained({ met, missed }: { met: number; missed: number }) {
  const all = met + missed;
  if (all === 0) return <span class="muted">no objective</span>;
  return <span class="bar-cell"><span class="meter" aria-hidden="true"><i class={met / all < 0.8 ? "soon" : "good"} style={{ width: `${(100 * met) / all}%` }} /></span>{percent(met, all)}</span>;
}

/** Sums by class, one row each. */
export function ClassTable({ classes, caption }: { classes: Record<string, ClassSums>; caption: string }) {
  return (
    <div class="table-wrap" role="region" aria-label={caption} tabIndex={0}>
      <table class="table">
        <thead><tr><th scope="col">Class</th><th scope="col" class="num">Met</th><th scope="col" class="num">Missed</th><th scope="col">Attainment</th><th scope="col" class="num">Tokens in time</th></tr></thead>
        <tbody>{named(classes).map(([name, each]) => (
          <tr key={name}>
            <th scope="row">{classWord(name)}</th><td class="num">{count(each.met)}</td><td class="num">{count(each.missed)}</td>
            <td><Attained met={each.met} missed={each.missed} /></td>
            <td class="num">{count(each.good_tokens)} of {count(each.output_tokens)}</td>
          </tr>
        ))}</tbody>
      </table>
    </div>
  );
}

function named(classes: Record<string, ClassSums>): [string, ClassSums][] {
  const order = Object.keys(CLASSES);
  return Object.entries(classes).sort(([a], [b]) => order.indexOf(a) - order.indexOf(b));
}

const HEIGHT = 64;
const LABEL = 190;

export function OverTime({ title, spans }: { title: string; spans: Span[] }) {
  const [ref, room] = useRoom(320);
  const sums = added(spans);
  const decided = named(sums).filter(([, each]) => each.met + each.missed > 0);
  if (decided.length === 0) return null;
  const first = spans[0]!.start;
  const last = spans.at(-1)!.end;
  const narrow = room < 560;
  const width = Math.max(120, room - (narrow ? 0 : LABEL));
  const x = (at: number): number => ((at - first) / (last - first)) * width;
  return (
    <section class="section">
      <h2>{title}</h2>
      <div class="over-time" ref={ref}>
        {decided.map(([name, all]) => {
          const most = Math.max(...spans.map((each) => Math.max(each.classes[name]?.met ?? 0, each.classes[name]?.missed ?? 0)));
          const unit = (HEIGHT / 2 - 4) / most;
          return (
            <figure key={name} class="attainment">
              <figcaption><b>{classWord(name)}</b><span>{percent(all.met, all.met + all.missed)} <span class="muted">{all.met} of {all.met + all.missed} in time</span></span></figcaption>
              <svg width={width} height={HEIGHT} role="img" aria-label={`${classWord(name)} over time: ${all.met} met, ${all.missed} missed. The table below has the numbers.`}>
                <line x1={0} x2={width} y1={HEIGHT / 2} y2={HEIGHT / 2} class="zero" />
                {spans.map((span) => {
                  const each = span.classes[name];
                  if (!each || each.met + each.missed === 0) return null;
                  const bar = { x: x(span.start) + 1, width: Math.max(2, Math.min(26, x(span.end) - x(span.start) - 2)) };
                  return (
                    <g key={span.start}>
                      <title>{`${moment(span.start)}: ${each.met} met, ${each.missed} missed, ${plural(each.good_tokens, "token")} in time`}</title>
                      <rect {...bar} y={HEIGHT / 2 - each.met * unit} height={each.met * unit} class="met" />
                      <rect {...bar} y={HEIGHT / 2} height={each.missed * unit} class="missed" />
                    </g>
                  );
                })}
              </svg>
            </figure>
          );
        })}
      </div>
      <p class="axis-ends muted" style={narrow ? {} : { marginLeft: `${LABEL}px` }}><span>{moment(first)}</span><span class="key"><i class="met" /> met <i class="missed" /> missed</span><span>{moment(last)}</span></p>
      <details class="fold">
        <summary>As a table</summary>
        <div class="table-wrap" role="region" aria-label={`${title}, as a table`} tabIndex={0}>
          <table class="table">
            <thead><tr><th scope="col">From</th><th scope="col">Class</th><th scope="col" class="num">Met</th><th scope="col" class="num">Missed</th><th scope="col" class="num">Attainment</th><th scope="col" class="num">Tokens in time</th></tr></thead>
            <tbody>{spans.flatMap((span) => named(span.classes).map(([name, each]) => (
              <tr key={`${span.start} ${name}`}>
                <th scope="row">{moment(span.start)}</th><td>{classWord(name)}</td><td class="num">{each.met}</td><td class="num">{each.missed}</td>
                <td class="num">{percent(each.met, each.met + each.missed)}</td><td class="num">{count(each.good_tokens)} of {count(each.output_tokens)}</td>
              </tr>
            )))}</tbody>
          </table>
        </div>
      </details>
    </section>
  );
}

function added(spans: Span[]): Record<string, ClassSums> {
  const found: Record<string, ClassSums> = {};
  for (const span of spans) for (const [name, each] of Object.entries(span.classes)) {
    const sums = (found[name] ??= { met: 0, missed: 0, others: 0, output_tokens: 0, good_tokens: 0 });
    for (const key of Object.keys(sums) as (keyof ClassSums)[]) sums[key] += each[key];
  }
  return found;
}

/** What an engine counted at a moment. */
export interface Sample {
  at: number;
  classes: Record<string, ClassSums>;
}

const WINDOWS = 24;

/** What was decided between the moments at which an engine was looked at. */
export function spansOf(samples: Sample[]): Span[] {
  const step = Math.ceil((samples.length - 1) / WINDOWS);
  const spans: Span[] = [];
  for (let n = step; step > 0 && n < samples.length; n += step) {
    const [before, after] = [samples[n - step]!, samples[n]!];
    const classes: Record<string, ClassSums> = {};
    for (const [name, now] of Object.entries(after.classes)) {
      const then = before.classes[name];
      const less = (key: keyof ClassSums): number => Math.max(0, now[key] - (then?.[key] ?? 0));
      const found = { met: less("met"), missed: less("missed"), others: less("others"), output_tokens: less("output_tokens"), good_tokens: less("good_tokens") };
      if (found.met + found.missed + found.others > 0) classes[name] = found;
    }
    spans.push({ start: before.at, end: after.at, classes });
  }
  return spans;
}
