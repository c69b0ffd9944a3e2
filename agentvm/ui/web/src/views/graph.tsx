// The graph of a run: the program's nodes and regions, coloured by what became of them in one run.
// Of a loop or map one iteration is shown at a time; a strip of cells above it shows all.
import { useComputed, useSignal, useSignalEffect } from "@preact/signals";
import { useEffect, useRef } from "preact/hooks";
import { layOut } from "../graph/client";
import { useDrag, type View } from "../graph/drag";
import { curve, extent, flat, nearest, sized } from "../graph/geometry";
import type { Layout, Rect } from "../graph/layout";
import { outline, size, type Panel, type Shape } from "../graph/outline";
import { loudest, type Counts } from "../journal";
import type { Live } from "../live";
import { plain } from "../prefs";
import { ENDED, type NodeState } from "../states";
import { Button } from "./parts";
import { BoxFrame, BoxHead, Leaf } from "./shapes";

const MANY = 140;
/** Above so many shapes only those in sight are in the document. */
const CULL = 250;

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
