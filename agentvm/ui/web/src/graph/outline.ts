// What of a program is drawn: boxes within boxes, plain Python left out or not, early returns without a box of their own.
import type { Graph, GraphNode, GraphRegion } from "../types";

export interface Shape {
  /** Sites from the outside in, without iterations: `map#1/note#1`. */
  id: string;
  node: GraphNode;
  /** The boxes around it that are part of its path in a run. */
  chain: { site: string; repeated: boolean }[];
  /** Boxes can be opened; what is closed is drawn as a node. */
  box: boolean;
  open: boolean;
  panels: Panel[];
}

export interface Panel {
  title: string;
  shapes: Shape[];
  edges: Edge[];
}

export interface Edge {
  from: string;
  to: string;
  order: boolean;
}

export interface Choice {
  plain: boolean;
  isOpen(id: string, node: GraphNode, depth: number): boolean;
}

const REPEATED = new Set(["loop", "map"]);

export function outline(graph: Graph, choice: Choice): Panel {
  const programs = new Map(graph.programs.map((each) => [each.name, each]));
  const main = graph.programs[0];
  if (!main) return { title: "", shapes: [], edges: [] };

  function panel(region: GraphRegion, prefix: string, chain: Shape["chain"], depth: number): Panel {
    const shapes: Shape[] = [];
    // Each node stands for itself, for what is spliced in its place, or, if hidden, for nothing.
    const firsts = new Map<string, string[]>();
    const lasts = new Map<string, string[]>();
    const inner: Edge[] = [];
    const hidden = new Set<string>();
    for (const node of region.nodes) {
      if (node.site.startsWith("rest#") && node.regions[0]) {
        const rest = panel(node.regions[0], prefix, chain, depth);
        const others = node.regions.slice(1).map((each) => panel(each, prefix, chain, depth));
        if (others.every((each) => each.shapes.length === 0)) {
          shapes.push(...rest.shapes);
          inner.push(...rest.edges);
          const targets = new Set(rest.edges.map((each) => each.to));
          const sources = new Set(rest.edges.map((each) => each.from));
          firsts.set(node.site, rest.shapes.filter((each) => !targets.has(each.id)).map((each) => each.id));
          lasts.set(node.site, rest.shapes.filter((each) => !sources.has(each.id)).map((each) => each.id));
          if (rest.shapes.length === 0) hidden.add(node.site);
          continue;
        }
      }
      const shape = shaped(node, prefix, chain, depth);
      if (shape) {
        shapes.push(shape);
        firsts.set(node.site, [shape.id]);
        lasts.set(node.site, [shape.id]);
      } else hidden.add(node.site);
    }
    return { title: region.title, shapes, edges: [...inner, ...contracted(region, hidden, firsts, lasts)] };
  }

  function shaped(node: GraphNode, prefix: string, chain: Shape["chain"], depth: number): Shape | null {
    if (node.kind === "python" && !choice.plain) return null;
    const id = prefix ? `${prefix}/${node.site}` : node.site;
    const called = node.callee ? programs.get(node.callee) : undefined;
    const regions = node.kind === "agent" ? (called ? [called.body] : []) : node.regions;
    if (regions.length === 0) return { id, node, chain, box: false, open: false, panels: [] };
    const adds = node.kind === "agent" || REPEATED.has(node.kind);
    const repeated = REPEATED.has(node.kind);
    const open = depth < 8 && choice.isOpen(id, node, depth);
    const deeper = adds ? [...chain, { site: node.site, repeated }] : chain;
    const panels = regions.map((each) => panel(each, adds ? id : prefix, deeper, open ? depth + 1 : 9));
    const some = panels.filter((each) => each.shapes.length > 0);
    if (some.length === 0 && node.kind !== "agent" && !choice.plain) return null;
    return { id, node, chain, box: some.length > 0, open: open && some.length > 0, panels: open ? some : [] };
  }

  return panel(main.body, "", [], 0);
}

/** The edges between what is drawn: those through hidden nodes go on to the next one. */
function contracted(
  region: GraphRegion, hidden: Set<string>, firsts: Map<string, string[]>, lasts: Map<string, string[]>,
): Edge[] {
  const into = new Map<string, { source: string; order: boolean }[]>();
  for (const { source, target, kind } of region.edges) {
    const list = into.get(target) ?? [];
    list.push({ source, order: kind === "order" });
    into.set(target, list);
  }
  const memo = new Map<string, Map<string, boolean>>();
  function reached(site: string): Map<string, boolean> {
    const known = memo.get(site);
    if (known) return known;
    const found = new Map<string, boolean>();
    memo.set(site, found);
    for (const { source, order } of into.get(site) ?? []) {
      const ends = hidden.has(source) ? reached(source) : new Map([[source, false]]);
      for (const [end, through] of ends) found.set(end, (found.get(end) ?? true) && (order || through));
    }
    return found;
  }
  const edges: Edge[] = [];
  for (const node of region.nodes) {
    if (hidden.has(node.site)) continue;
    for (const [source, order] of reached(node.site))
      for (const from of lasts.get(source) ?? []) for (const to of firsts.get(node.site) ?? []) edges.push({ from, to, order });
  }
  return direct(edges);
}

/** Without the arrows that only order what other arrows order already. */
function direct(edges: Edge[]): Edge[] {
  const next = new Map<string, Set<string>>();
  for (const { from, to } of edges) next.set(from, (next.get(from) ?? new Set()).add(to));
  const beyond = new Map<string, Set<string>>();
  function reach(at: string): Set<string> {
    const known = beyond.get(at);
    if (known) return known;
    const found = new Set<string>();
    beyond.set(at, found);
    for (const each of next.get(at) ?? []) {
      found.add(each);
      for (const far of reach(each)) found.add(far);
    }
    return found;
  }
  return edges.filter(({ from, to, order }) => !order || ![...next.get(from)!].some((each) => each !== to && reach(each).has(to)));
}

/** How many nodes would be drawn if all were open; to decide what is open at first. */
export function size(graph: Graph, plain: boolean): number {
  let found = 0;
  const walk = (region: GraphRegion): void => {
    for (const node of region.nodes) {
      if (plain || node.kind !== "python") found++;
      node.regions.forEach(walk);
    }
  };
  for (const each of graph.programs) walk(each.body);
  return found;
}
