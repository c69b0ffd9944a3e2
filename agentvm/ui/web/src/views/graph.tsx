// The graph of a run: the program's nodes and regions, coloured by what became of them in one run.
// Of a loop or map one iteration is shown at a time; a strip of cells above it shows all.
import { useComputed, useSignal, useSignalEffect, type Signal } from "@preact/signals";
import { useEffect, useRef } from "preact/hooks";
import { duration, plural } from "../format";
import { layOut } from "../graph/client";
import type { Layout, Rect, Sized, SizedPanel } from "../graph/layout";
import { outline, size, type Panel, type Shape } from "../graph/outline";
import type { Live } from "../live";
import { loudest, type Counts } from "../journal";
import { plain } from "../prefs";
import { ENDED, STATES, type NodeState } from "../states";
import { Button } from "./parts";

const NODE = 46;
const HEADER = 34;
const STRIP = 18;
const MANY = 140;
/** Above so many shapes only those in sight are in the document. */
const CULL = 250;

const canvas = document.createElement("canvas").getContext("2d");
function measure(text: string, font: string): number {
  if (!canvas) return text.length * 7.5;
  canvas.font = font;
  return canvas.measureText(text).width;
}

const TITLE_FONT = '600 13px Inter, "Segoe UI", Roboto, "Noto Sans", "Liberation Sans", sans-serif';

interface View { x: number; y: number; scale: number }

interface Props {
  live: Live;
  selected: string | null;
  onSelect(path: string | null): void;
}

export function GraphView({ live, selected, onSelect }: Props) {
  const toggled = useSignal<Record<string, boolean>>({});
  const pinned = useSignal<Record<string, number>>({});
  const layout = useSignal<Layout | null>(null);
  const failed = useSignal("");
  const view = useSignal<View>({ x: 0, y: 0, scale: 1 });
  const room = useSignal({ width: 800, height: 500 });
  const ref = useRef<HTMLDivElement>(null);
  const fitted = useRef(false);

  const panel = useComputed<Panel | null>(() => {
    const graph = live.graph.value;
    if (!graph) return null;
    const all = size(graph, plain.value);
    return outline(graph, {
      plain: plain.value,
      isOpen: (id, node, depth) => toggled.value[id] ?? (node.kind === "agent" ? depth < 2 && all < 60 : all < MANY || depth < 1 && all < 4 * MANY),
    });
  });
  const shapes = useComputed(() => (panel.value ? [...flat(panel.value)] : []));

  useSignalEffect(() => {
    if (!panel.value) return;
    layOut(sized(panel.value)).then(
      (found) => { layout.value = found; failed.value = ""; },
      (error: Error) => { if (error.message !== "overtaken") failed.value = error.message; },
    );
  });

  useEffect(() => {
    const observer = new ResizeObserver(([entry]) => {
      room.value = { width: entry!.contentRect.width, height: entry!.contentRect.height };
    });
    observer.observe(ref.current!);
    return () => observer.disconnect();
  }, []);

  const fit = (all = true): void => {
    const found = layout.peek();
    if (!found) return;
    const { width, height } = room.peek();
    const whole = Math.min((width - 32) / found.width, (height - 32) / found.height);
    // At first what is written must be legible; a graph that is larger then begins at its top.
    const scale = Math.min(1.1, Math.max(all ? 0.1 : 0.85, whole));
    view.value = { scale, x: found.width * scale < width - 32 ? (width - found.width * scale) / 2 : (width - found.width * scale) / 2 > -200 ? (width - found.width * scale) / 2 : 16, y: found.height * scale < height ? Math.max(16, Math.min(40, (height - found.height * scale) / 2)) : 16 };
  };
  useSignalEffect(() => {
    if (layout.value && room.value.width > 0 && !fitted.current) {
      fitted.current = true;
      fit(false);
    }
  });

  live.version.value; // drawn anew when the journal has changed
  const journal = live.journal;
  const ended = live.loaded.value && ENDED.has(live.detail.value?.status ?? "running");

  const iteration = (box: string): number => pinned.value[box] ?? Math.max(0, journal.boxes.get(box)?.last ?? 0);
  const pathOf = (shape: Shape): string => {
    let path = "";
    for (const each of shape.chain) {
      path = path ? `${path}/${each.site}` : each.site;
      if (each.repeated) path += `[${iteration(path)}]`;
    }
    return path ? `${path}/${shape.node.site}` : shape.node.site;
  };
  const stateOf = (shape: Shape, path: string): NodeState => {
    const own = journal.stateOf(path);
    if (own && own !== "running") return own;
    const within = shape.node.kind === "branch" || shape.node.kind === "try" ? loudest(countsOf(shape)) : journal.boxState(path);
    return within ?? own ?? (ended ? "skipped" : "pending");
  };
  const countsOf = (shape: Shape): Counts => {
    const found: Counts = {};
    for (const panel of shape.panels) for (const each of panel.shapes) {
      const state = stateOf(each, pathOf(each));
      found[state] = (found[state] ?? 0) + 1;
    }
    return found;
  };

  const zoom = (by: number, at?: { x: number; y: number }): void => {
    const { x, y, scale } = view.value;
    const next = Math.min(2.5, Math.max(0.1, scale * by));
    const c = at ?? { x: room.value.width / 2, y: room.value.height / 2 };
    view.value = { scale: next, x: c.x - ((c.x - x) * next) / scale, y: c.y - ((c.y - y) * next) / scale };
  };
  const reveal = (rect: Rect): void => {
    const { x, y, scale } = view.value;
    const { width, height } = room.value;
    const left = rect.x * scale + x;
    const upper = rect.y * scale + y;
    const dx = left < 20 ? 20 - left : Math.min(0, width - 20 - left - rect.width * scale);
    const dy = upper < 20 ? 20 - upper : Math.min(0, height - 20 - upper - Math.min(rect.height, 80) * scale);
    if (dx || dy) view.value = { scale, x: x + dx, y: y + dy };
  };
  const toggle = (id: string, open: boolean): void => { toggled.value = { ...toggled.value, [id]: open }; };
  const pick = (shape: Shape): void => {
    onSelect(pathOf(shape));
    const rect = layout.peek()?.rects[shape.id];
    if (rect) reveal(rect);
  };

  const here = selected === null ? undefined : shapes.value.find((each) => pathOf(each) === selected);
  const onKeyDown = (event: KeyboardEvent): void => {
    const found = layout.value;
    if (!found || event.target !== event.currentTarget) return;
    const step = ({ ArrowUp: [0, -1], ArrowDown: [0, 1], ArrowLeft: [-1, 0], ArrowRight: [1, 0] } as Record<string, [number, number]>)[event.key];
    if (step) {
      event.preventDefault();
      const next = here ? nearest(shapes.value, found, here, step) : shapes.value[0];
      if (next) pick(next);
    } else if (event.key === "+" || event.key === "=") zoom(1.2);
    else if (event.key === "-") zoom(1 / 1.2);
    else if (event.key === "0") fit();
    else if ((event.key === "Enter" || event.key === " ") && here?.box) {
      event.preventDefault();
      toggle(here.id, !here.open);
    } else if ((event.key === "[" || event.key === "]") && here) {
      const box = around(here, iteration);
      if (box) pinned.value = { ...pinned.value, [box]: Math.max(0, Math.min(journal.boxes.get(box)?.last ?? 0, iteration(box) + (event.key === "]" ? 1 : -1))) };
    }
  };
  useDrag(ref, view);
  const onWheel = (event: WheelEvent): void => {
    event.preventDefault();
    const box = ref.current!.getBoundingClientRect();
    if (event.ctrlKey || event.metaKey) zoom(Math.exp(-event.deltaY / 300), { x: event.clientX - box.left, y: event.clientY - box.top });
    else view.value = { ...view.value, x: view.value.x - event.deltaX, y: view.value.y - event.deltaY };
  };
  useEffect(() => {
    const element = ref.current!;
    element.addEventListener("wheel", onWheel, { passive: false });
    return () => element.removeEventListener("wheel", onWheel);
  }, []);

  const found = layout.value;
  const { x, y, scale } = view.value;
  const visible = (rect: Rect): boolean => shapes.value.length < CULL || (
    rect.x * scale + x < room.value.width && (rect.x + rect.width) * scale + x > 0 &&
    rect.y * scale + y < room.value.height && (rect.y + rect.height) * scale + y > 0);

  const empty = live.graph.value && shapes.value.length === 0;
  return (
    <div class="graph" ref={ref}>
      <svg tabindex={0} role="listbox" aria-label="Graph of the run. Arrow keys move, Enter opens and closes boxes, plus and minus zoom."
        aria-activedescendant={here && found?.rects[here.id] && visible(found.rects[here.id]!) ? `shape-${here.id}` : undefined} onKeyDown={onKeyDown} class="graph-canvas">
        <defs>
          <marker id="tip" viewBox="0 0 8 8" refX="7" refY="4" markerWidth="7" markerHeight="7" orient="auto"><path d="M0,.6 7,4 0,7.4z" class="tip" /></marker>
        </defs>
        {found && (
          <g transform={`translate(${x} ${y}) scale(${scale})`}>
            {found.panels.map((each) => (
              <g key={each.id} class="panel" aria-hidden="true">
                <rect x={each.rect.x} y={each.rect.y} width={each.rect.width} height={each.rect.height} rx={8} />
                <text x={each.rect.x + 10} y={each.rect.y + 15}>{each.title}</text>
              </g>
            ))}
            {shapes.value.filter((each) => each.open).map((each) => {
              const rect = found.rects[each.id];
              return rect && visible(rect) && <BoxFrame key={`frame-${each.id}`} shape={each} rect={rect} state={stateOf(each, pathOf(each))} chosen={each === here} onPick={() => pick(each)} />;
            })}
            {found.lines.map((line, n) => visible(extent(line.points)) && <path key={n} d={curve(line.points)} class={line.order ? "edge order" : "edge"} marker-end="url(#tip)" />)}
            {shapes.value.map((each) => {
              const rect = found.rects[each.id];
              if (!rect || !visible(rect)) return null;
              const path = pathOf(each);
              const state = stateOf(each, path);
              return each.open
                ? <BoxHead key={each.id} shape={each} rect={rect} state={state} path={path} live={live} chosen={each === here} iteration={iteration(path)}
                    onPick={() => pick(each)} onClose={() => toggle(each.id, false)} onIteration={(n) => { pinned.value = { ...pinned.value, [path]: n }; }} />
                : <Leaf key={each.id} shape={each} rect={rect} state={state} path={path} live={live} chosen={each === here}
                    onPick={() => pick(each)} onOpen={() => toggle(each.id, true)} />;
            })}
          </g>
        )}
      </svg>
      {!found && !failed.value && !empty && <p class="graph-note" role="status">Laying the graph out…</p>}
      {failed.value && <p class="graph-note" role="alert">The graph could not be laid out: {failed.value}. The timeline shows all nodes.</p>}
      {empty && <p class="graph-note">{live.graph.value!.programs.length ? "This program makes no calls. Show plain code to see it." : "The program of this run is not recorded. The timeline shows its nodes."}</p>}
      <div class="graph-tools">
        <Button class="icon" aria-label="Zoom in" onClick={() => zoom(1.25)}>+</Button>
        <Button class="icon" aria-label="Zoom out" onClick={() => zoom(0.8)}>−</Button>
        <Button class="icon" aria-label="Fit the graph" onClick={() => fit()}>⤢</Button>
      </div>
    </div>
  );
}

interface PartProps {
  shape: Shape;
  rect: Rect;
  state: NodeState;
  path: string;
  live: Live;
  chosen: boolean;
  onPick(): void;
}

function BoxFrame({ rect, state, chosen, onPick }: Pick<PartProps, "shape" | "rect" | "state" | "chosen" | "onPick">) {
  return <rect class={`box s-${state} ${chosen ? "chosen" : ""}`} x={rect.x} y={rect.y} width={rect.width} height={rect.height} rx={12} onClick={onPick} aria-hidden="true" />;
}

function BoxHead({ shape, rect, state, path, live, chosen, iteration, onPick, onClose, onIteration }: PartProps & {
  iteration: number;
  onClose(): void;
  onIteration(n: number): void;
}) {
  const repeated = shape.node.kind === "loop" || shape.node.kind === "map";
  const last = live.journal.boxes.get(path)?.last ?? -1;
  const title = titleOf(shape);
  const counter = repeated && last >= 0 ? `${iteration + 1} of ${last + 1}` : "";
  return (
    <g id={`shape-${shape.id}`} role="option" aria-selected={chosen} class={`head s-${state}`} data-path={path} data-state={state}
      aria-label={`${title} ${counter}, ${shape.node.kind}, ${STATES[state].word}`}>
      <g onClick={onPick} class="hit">
        <rect x={rect.x} y={rect.y} width={rect.width} height={HEADER} rx={12} fill="transparent" />
        <StateDot x={rect.x + 19} y={rect.y + 18} state={state} />
        <text x={rect.x + 35} y={rect.y + 22} class="title">{title}</text>
      </g>
      {counter && (
        <g class="stepper">
          <Step x={rect.x + rect.width - 118} y={rect.y + 18} sign="‹" label="Iteration before" off={iteration <= 0} onStep={() => onIteration(iteration - 1)} />
          <text x={rect.x + rect.width - 75} y={rect.y + 22} text-anchor="middle">{counter}</text>
          <Step x={rect.x + rect.width - 36} y={rect.y + 18} sign="›" label="Next iteration" off={iteration >= last} onStep={() => onIteration(iteration + 1)} />
        </g>
      )}
      <Step x={rect.x + rect.width - 16} y={rect.y + 18} sign="−" label={`Close ${title}`} onStep={onClose} />
      {repeated && last >= 0 && <Strip rect={rect} path={path} last={last} iteration={iteration} live={live} onIteration={onIteration} />}
    </g>
  );
}

function Step({ x, y, sign, label, off, onStep }: { x: number; y: number; sign: string; label: string; off?: boolean; onStep(): void }) {
  return (
    <g class={`step ${off ? "off" : ""}`} onClick={off ? undefined : onStep} aria-hidden="true">
      <title>{label}</title>
      <circle cx={x} cy={y} r={9} />
      <text x={x} y={y + 4} text-anchor="middle">{sign}</text>
    </g>
  );
}

/** All iterations as cells; of many, each cell stands for several. */
function Strip({ rect, path, last, iteration, live, onIteration }: { rect: Rect; path: string; last: number; iteration: number; live: Live; onIteration(n: number): void }) {
  const width = rect.width - 24;
  const cells = Math.min(last + 1, Math.floor(width / 5));
  const each = Math.min(30, width / cells);
  const span = (last + 1) / cells;
  return (
    <g class="strip" aria-hidden="true">
      {Array.from({ length: cells }, (_, n) => {
        const from = Math.floor(n * span);
        const to = Math.max(from + 1, Math.floor((n + 1) * span));
        const counts: Counts = {};
        for (let at = from; at < to; at++) {
          const state = live.journal.boxState(`${path}[${at}]`) ?? "pending";
          counts[state] = (counts[state] ?? 0) + 1;
        }
        const here = iteration >= from && iteration < to;
        return <rect key={n} class={`cell s-${loudest(counts) ?? "pending"} ${here ? "here" : ""}`} x={rect.x + 12 + n * each} y={rect.y + HEADER}
          width={Math.min(each - (each > 4 ? 1.5 : 0), 26)} height={8} rx={2} onClick={() => onIteration(from)} />;
      })}
    </g>
  );
}

function Leaf({ shape, rect, state, path, live, chosen, onPick, onOpen }: PartProps & { onOpen(): void }) {
  const { node } = shape;
  const title = titleOf(shape);
  const sub = subOf(shape, path, live, state);
  return (
    <g id={`shape-${shape.id}`} role="option" aria-selected={chosen} class={`leaf hit k-${node.kind} s-${state} ${chosen ? "chosen" : ""}`}
      data-path={path} data-state={state} aria-label={`${title} ${sub}, ${STATES[state].word}`} onClick={onPick} onDblClick={() => shape.box && onOpen()}>
      <rect x={rect.x} y={rect.y} width={rect.width} height={rect.height} rx={node.kind === "python" ? 6 : 10} class="card" />
      <StateDot x={rect.x + 20} y={rect.y + rect.height / 2} state={state} />
      <text x={rect.x + 37} y={rect.y + (sub ? 20 : rect.height / 2 + 4)} class="title">{title}</text>{" "}
      {sub && <text x={rect.x + 37} y={rect.y + 35} class="sub">{sub}</text>}
      {shape.box && <Step x={rect.x + rect.width - 16} y={rect.y + rect.height / 2} sign="+" label={`Open ${title}`} onStep={onOpen} />}
    </g>
  );
}

function StateDot({ x, y, state }: { x: number; y: number; state: NodeState }) {
  return (
    <g class={`dot s-${state}`}>
      <circle cx={x} cy={y} r={9} />
      {state === "running"
        ? <path class="spin" style={{ transformOrigin: `${x}px ${y}px` }} d={`M${x} ${y - 5.5}a5.5 5.5 0 0 1 5.5 5.5`} />
        : <text x={x} y={y + 4} text-anchor="middle">{STATES[state].glyph}</text>}
    </g>
  );
}

function titleOf(shape: Shape): string {
  const { label, site, kind, code, gives, callee } = shape.node;
  if (kind === "branch" || kind === "loop" || kind === "try" || kind === "map") {
    const word = site.split("#")[0]!;
    return { if: "if", rest: "then", for: "for each", while: "while", map: "map", try: "try" }[word] ?? word;
  }
  if (kind === "python") return short(gives[0] ?? (code || label), 26);
  if (kind === "llm" || kind === "human") return gives[0] ?? short(quoted(code) ?? kind, 26);
  return short(callee ? callee.split(":").at(-1)! : site.split("#")[0]!, 26);
}

/** What is asked, of a call whose answer has no name: the beginning of the first text in its code. */
function quoted(code: string): string | null {
  const found = /["'`]+\s*([^"'`\n]{3,})/.exec(code);
  return found ? `“${found[1]!.trim()}”` : null;
}

function subOf(shape: Shape, path: string, live: Live, state: NodeState): string {
  const { node } = shape;
  const box = live.journal.boxes.get(path);
  const inside = box && box.total > 0 ? plural(box.total, "node") : "";
  const row = live.journal.places.get(path)?.row;
  const kind = { llm: "model", human: "person", python: "code" }[node.kind] ?? node.kind;
  const time = row?.finished_at && row.started_at && state !== "given" ? duration(row.finished_at - row.started_at) : "";
  const tokens = row?.tokens?.output ? `${row.tokens.output} tok` : "";
  if (node.kind === "python") return "";
  return [kind, time, tokens || inside].filter(Boolean).join(" · ");
}

function short(text: string, most: number): string {
  const line = text.split("\n")[0]!;
  return line.length > most ? `${line.slice(0, most - 1)}…` : line;
}

/** The innermost loop or map around a shape, as a path. */
function around(shape: Shape, iteration: (box: string) => number): string | null {
  let path = "";
  let found: string | null = null;
  for (const each of shape.chain) {
    path = path ? `${path}/${each.site}` : each.site;
    if (each.repeated) {
      found = path;
      path += `[${iteration(path)}]`;
    }
  }
  return found;
}

function* flat(panel: Panel): Generator<Shape> {
  for (const each of panel.shapes) {
    yield each;
    for (const inner of each.panels) yield* flat(inner);
  }
}

function sized(panel: Panel): SizedPanel {
  return { title: panel.title, edges: panel.edges, shapes: panel.shapes.map(sizedShape) };
}

function sizedShape(shape: Shape): Sized {
  const wide = measure(titleOf(shape), TITLE_FONT);
  const repeated = shape.node.kind === "loop" || shape.node.kind === "map";
  const least = { python: 90, llm: 192, agent: 180 }[shape.node.kind as string] ?? 150;
  const width = shape.open ? wide + (repeated ? 190 : 80) : Math.max(least, wide + (shape.box ? 76 : 54));
  const height = shape.open ? HEADER + (repeated ? STRIP : 0) : shape.node.kind === "python" ? 32 : NODE;
  return { id: shape.id, width, height, panels: shape.panels.map(sized) };
}

function nearest(shapes: Shape[], layout: Layout, from: Shape, [dx, dy]: [number, number]): Shape | undefined {
  const a = centre(layout.rects[from.id]!, from);
  let best: Shape | undefined;
  let least = Infinity;
  for (const each of shapes) {
    const rect = layout.rects[each.id];
    if (!rect || each === from) continue;
    const b = centre(rect, each);
    const along = (b.x - a.x) * dx + (b.y - a.y) * dy;
    const across = Math.abs((b.x - a.x) * dy) + Math.abs((b.y - a.y) * dx);
    if (along <= 4) continue;
    const cost = along + 2.2 * across;
    if (cost < least) [least, best] = [cost, each];
  }
  return best;
}

function centre(rect: Rect, shape: Shape): { x: number; y: number } {
  return { x: rect.x + rect.width / 2, y: rect.y + (shape.open ? HEADER / 2 : rect.height / 2) };
}

function curve(points: [number, number][]): string {
  const [first, ...rest] = points;
  if (!first || rest.length === 0) return "";
  if (rest.length === 1) return `M${first} L${rest[0]}`;
  let path = `M${first}`;
  for (let n = 0; n < rest.length - 1; n++) {
    const [ax, ay] = rest[n]!;
    const [bx, by] = rest[n + 1]!;
    const end = n === rest.length - 2 ? rest[n + 1]! : [(ax + bx) / 2, (ay + by) / 2];
    path += ` Q${ax},${ay} ${end}`;
  }
  return path;
}

function extent(points: [number, number][]): Rect {
  const xs = points.map((p) => p[0]);
  const ys = points.map((p) => p[1]);
  const x = Math.min(...xs);
  const y = Math.min(...ys);
  return { x, y, width: Math.max(...xs) - x + 1, height: Math.max(...ys) - y + 1 };
}

function useDrag(ref: { current: HTMLDivElement | null }, view: Signal<View>): void {
  useEffect(() => {
    const element = ref.current!;
    let from: { x: number; y: number; view: View } | null = null;
    const down = (event: PointerEvent): void => {
      if (event.button !== 0 || (event.target as Element).closest(".hit, .step, .cell, button")) return;
      from = { x: event.clientX, y: event.clientY, view: view.peek() };
      element.setPointerCapture(event.pointerId);
      element.classList.add("dragging");
    };
    const move = (event: PointerEvent): void => {
      if (from) view.value = { ...from.view, x: from.view.x + event.clientX - from.x, y: from.view.y + event.clientY - from.y };
    };
    const up = (): void => {
      from = null;
      element.classList.remove("dragging");
    };
    element.addEventListener("pointerdown", down);
    element.addEventListener("pointermove", move);
    element.addEventListener("pointerup", up);
    element.addEventListener("pointercancel", up);
    return () => {
      element.removeEventListener("pointerdown", down);
      element.removeEventListener("pointermove", move);
      element.removeEventListener("pointerup", up);
      element.removeEventListener("pointercancel", up);
    };
  }, []);
}
