// The node of a program that a path names.
import type { Graph, GraphNode, GraphRegion } from "../types";

export function nodeAt(graph: Graph | null, path: string): GraphNode | null {
  if (!graph?.programs[0]) return null;
  let program: GraphRegion = graph.programs[0].body;
  let node: GraphNode | null = null;
  for (const part of path.split("/")) {
    if (node?.kind === "agent") {
      const called = graph.programs.find((each) => each.name === node!.callee);
      if (!called) return null;
      program = called.body;
    }
    node = find(program, part.replace(/\[\d+\]$/, ""));
    if (!node) return null;
  }
  return node;
}

function find(region: GraphRegion, site: string): GraphNode | null {
  for (const node of region.nodes) {
    if (node.site === site) return node;
    for (const inner of node.regions) {
      const found = find(inner, site);
      if (found) return found;
    }
  }
  return null;
}
