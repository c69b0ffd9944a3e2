// Asks the worker for layouts; of several questions only the newest is answered.
import type { Layout, SizedPanel } from "./layout";

interface TrustedTypes {
  createPolicy(name: string, rules: { createScriptURL(url: string): string }): { createScriptURL(url: string): unknown };
}

const trusted = (globalThis as { trustedTypes?: TrustedTypes }).trustedTypes;
const WORKER = new URL("layout.js", import.meta.url).href;
// The page's policy lets no other script be named than this one.
const url = trusted
  ? trusted.createPolicy("agentvm", { createScriptURL: () => WORKER }).createScriptURL(WORKER)
  : WORKER;

let worker: Worker | null = null;
let newest = 0;
let waiting: { id: number; resolve(found: Layout): void; reject(error: Error): void } | null = null;

/** Start the worker before there is anything to lay out: that takes as long as reading a run. */
export function warm(): Worker {
  return (worker ??= start());
}

export function layOut(panel: SizedPanel): Promise<Layout> {
  const id = ++newest;
  waiting?.reject(new Error("overtaken"));
  warm().postMessage({ id, panel });
  return new Promise((resolve, reject) => { waiting = { id, resolve, reject }; });
}

function start(): Worker {
  const found = new Worker(url as string, { type: "module" });
  found.onmessage = (event: MessageEvent<{ id: number; layout?: Layout; error?: string }>) => {
    const { id, layout, error } = event.data;
    if (waiting?.id !== id) return;
    if (layout) waiting.resolve(layout);
    else waiting.reject(new Error(error));
    waiting = null;
  };
  return found;
}
