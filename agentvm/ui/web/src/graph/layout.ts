// Placing boxes: each region by itself, from the inside out, so that a box is a node of known size to what is around it.
import { Graph, layout as dagre } from "@dagrejs/dagre";

export interface Sized {
  id: string;
  width: number;
  /** Of a node; of a box its header. */
  height: number;
  panels: SizedPanel[];
}

export interface SizedPanel {
  title: string;
  shapes: Sized[];
  edges: { from: string; to: string; order: boolean }[];
}

export interface Rect {
  x: number;
  y: number;
  width: number;
  height: number;
}

export interface Line {
  points: [number, number][];
  order: boolean;
}

export interface Layout {
  width: number;
  height: number;
  rects: Record<string, Rect>;
  panels: { id: string; title: string; rect: Rect }[];
  lines: Line[];
}

const PAD = 14;
const TITLE = 20;
const GAP = 12;
const RISE = 30;
/** Above so many nodes in one region dagre takes seconds, and its recursion may exceed the stack. */
const MANY = 300;

interface Placed {
  width: number;
  height: number;
  put(x: number, y: number, into: Layout): void;
}

export function layout(panel: SizedPanel): Layout {
  const placed = place(panel);
  const found: Layout = { width: placed.width, height: placed.height, rects: {}, panels: [], lines: [] };
  placed.put(0, 0, found);
  return found;
}

function place(panel: SizedPanel): Placed {
  const boxes = new Map(panel.shapes.map((each) => [each.id, box(each)]));
  if (panel.shapes.length > MANY) return inRows(panel, boxes);
  const graph = new Graph({ multigraph: false });
  graph.setGraph({ rankdir: "TB", nodesep: 22, ranksep: 30, marginx: PAD, marginy: PAD });
  graph.setDefaultEdgeLabel(() => ({}));
  for (const [id, each] of boxes) graph.setNode(id, { width: each.width, height: each.height });
  for (const each of panel.edges) graph.setEdge(each.from, each.to, { order: each.order, weight: each.order ? 1 : 2 });
  dagre(graph);
  const whole = graph.graph() as { width?: number; height?: number };
  const width = finite(whole.width) ?? 2 * PAD;
  const height = finite(whole.height) ?? 2 * PAD;
  return {
    width,
    height,
    put(x, y, into) {
      for (const [id, each] of boxes) {
        const at = graph.node(id) as { x: number; y: number };
        each.put(x + at.x - each.width / 2, y + at.y - each.height / 2, into);
      }
      for (const each of graph.edges()) {
        const edge = graph.edge(each) as unknown as { points: { x: number; y: number }[]; order: boolean };
        into.lines.push({ points: edge.points.map((p) => [x + p.x, y + p.y]), order: edge.order });
      }
    },
  };
}

/** Nodes in rows, each below all that it reads; they are given in an order in which what is read comes first. */
function inRows(panel: SizedPanel, boxes: Map<string, Placed>): Placed {
  const ranks = new Map(panel.shapes.map((each) => [each.id, 0]));
  const into = new Map<string, string[]>();
  for (const { from, to } of panel.edges) into.set(to, [...(into.get(to) ?? []), from]);
  const rows: string[][] = [];
  for (const { id } of panel.shapes) {
    let rank = 0;
    for (const from of into.get(id) ?? []) rank = Math.max(rank, ranks.get(from)! + 1);
    ranks.set(id, rank);
    (rows[rank] ??= []).push(id);
  }
  const widths = rows.map((row) => row.reduce((sum, id) => sum + boxes.get(id)!.width + GAP, -GAP));
  const width = Math.max(...widths) + 2 * PAD;
  const at = new Map<string, Rect>();
  let y = PAD;
  rows.forEach((row, n) => {
    let x = (width - widths[n]!) / 2;
    for (const id of row) {
      const { width, height } = boxes.get(id)!;
      at.set(id, { x, y, width, height });
      x += width + GAP;
    }
    y += Math.max(...row.map((id) => boxes.get(id)!.height)) + RISE;
  });
  return {
    width,
    height: y - RISE + PAD,
    put(left, top, into) {
      for (const [id, rect] of at) boxes.get(id)!.put(left + rect.x, top + rect.y, into);
      for (const { from, to, order } of panel.edges) {
        const [a, b] = [at.get(from)!, at.get(to)!];
        const points: [number, number][] = [[left + a.x + a.width / 2, top + a.y + a.height], [left + b.x + b.width / 2, top + b.y]];
        into.lines.push({ points, order });
      }
    },
  };
}

function box(shape: Sized): Placed {
  if (shape.panels.length === 0) {
    const { width, height } = shape;
    return { width, height, put: (x, y, into) => { into.rects[shape.id] = { x, y, width, height }; } };
  }
  const inner = shape.panels.map(place);
  const titled = shape.panels.length > 1 ? TITLE : 0;
  const panels = inner.reduce((sum, each) => sum + each.width, 0) + GAP * (inner.length - 1);
  const width = Math.max(shape.width, panels) + (titled ? 2 * GAP : 0);
  const height = shape.height + titled + Math.max(...inner.map((each) => each.height)) + (titled ? GAP : 0);
  return {
    width,
    height,
    put(x, y, into) {
      into.rects[shape.id] = { x, y, width, height };
      let left = x + (width - panels) / 2;
      inner.forEach((each, n) => {
        const top = y + shape.height;
        const rect = { x: left, y: top, width: each.width, height: height - shape.height - (titled ? GAP : 0) };
        if (titled) into.panels.push({ id: `${shape.id}:${n}`, title: shape.panels[n]!.title, rect });
        each.put(left, top + titled, into);
        left += each.width + GAP;
      });
    },
  };
}

function finite(n: number | undefined): number | undefined {
  return n !== undefined && Number.isFinite(n) && n > 0 ? n : undefined;
}
