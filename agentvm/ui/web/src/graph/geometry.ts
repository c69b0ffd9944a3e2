// Sizes and places: how large shapes are, which is next to which, and how arrows run.
import type { Layout, Rect, Sized, SizedPanel } from "./layout";
import type { Panel, Shape } from "./outline";
import { titleOf } from "./titles";

const NODE = 46;
/** Of the head of an open box; below it are the cells of its iterations. */
export const HEADER = 34;
const STRIP = 18;

const canvas = document.createElement("canvas").getContext("2d");
function measure(text: string, font: string): number {
  if (!canvas) return text.length * 7.5;
  canvas.font = font;
  return canvas.measureText(text).width;
}

const TITLE_FONT = '600 13px Inter, "Segoe UI", Roboto, "Noto Sans", "Liberation Sans", sans-serif';

export function* flat(panel: Panel): Generator<Shape> {
  for (const each of panel.shapes) {
    yield each;
    for (const inner of each.panels) yield* flat(inner);
  }
}

export function sized(panel: Panel): SizedPanel {
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

export function nearest(shapes: Shape[], layout: Layout, from: Shape, [dx, dy]: [number, number]): Shape | undefined {
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

export function curve(points: [number, number][]): string {
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

export function extent(points: [number, number][]): Rect {
  const xs = points.map((p) => p[0]);
  const ys = points.map((p) => p[1]);
  const x = Math.min(...xs);
  const y = Math.min(...ys);
  return { x, y, width: Math.max(...xs) - x + 1, height: Math.max(...ys) - y + 1 };
}
