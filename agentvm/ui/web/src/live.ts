// One run, kept up to date: loaded once, then followed by its event stream, which is taken up again when it breaks.
import { signal, type Signal } from "@preact/signals";
import { ApiError, events, get, online, runPath } from "./api";
import { Journal } from "./journal";
import { ENDED } from "./states";
import { Drafts, type Said } from "./drafts";
import type { Active, Graph, NodePage, NodeRow, Run, RunDetail, Served } from "./types";

const PAGE = 5000;
const WAITS = [0.3, 0.6, 1.2, 2.5, 5];

export class Live {
  readonly detail = signal<RunDetail | null>(null);
  readonly graph = signal<Graph | null>(null);
  readonly error = signal<ApiError | null>(null);
  /** Whether all nodes that were recorded have been read. */
  readonly loaded = signal(false);
  /** Whether the stream is broken and is being taken up again. */
  readonly broken = signal(false);
  /** Grows with each change of the journal; at most once a frame. */
  readonly version = signal(0);
  /** What models say in calls under way. */
  readonly drafts = new Drafts();
  /** For screen readers: what happened last. */
  readonly said = signal("");
  journal: Journal;
  /** What was typed as answers to questions, by path: it outlives the form. */
  readonly typed = new Map<string, Signal<string | boolean | undefined>>();
  private stopped = new AbortController();
  private frame = 0;
  /** How often the run's row was asked for, and the newest of these whose answer counts: an older one may come later. */
  private asked = 0;
  private taken = 0;
  /** The journal that is being read anew; it hears what comes meanwhile, too. */
  private next: Journal | null = null;
  private tries = 0;

  constructor(readonly run: string) {
    this.journal = new Journal(run);
    void this.follow();
  }

  close(): void {
    this.stopped.abort();
    cancelAnimationFrame(this.frame);
  }

  /** Read the run's row anew, after something was done to it; follow it if it goes on. */
  async refresh(): Promise<void> {
    await this.load();
  }

  private async load(): Promise<void> {
    const signal = this.stopped.signal;
    const number = ++this.asked;
    // In this order: the numbers of a large run are there long before all its nodes are.
    const detail = get<RunDetail>(runPath(this.run), signal);
    if (!this.detail.value) detail.then((found) => { this.detail.value ??= found; }, () => {});
    if (!this.graph.value) {
      get<Graph>(runPath(this.run, "graph"), signal).then((found) => { this.graph.value = found; }, () => {});
    }
    const nodes = this.journal.seq === 0 ? this.loadNodes(this.journal, signal) : null;
    const [found] = await Promise.all([detail, nodes]);
    if (number > this.taken) {
      this.taken = number;
      this.take(found);
    }
    this.loaded.value = true;
    this.changed();
  }

  private async loadNodes(journal: Journal, signal: AbortSignal): Promise<void> {
    for (let at = 0; ; at += PAGE) {
      const page = await get<NodePage>(`${runPath(this.run, "nodes")}?offset=${at}&limit=${PAGE}`, signal);
      for (const each of page.nodes) journal.add(each);
      if (at + page.nodes.length >= page.total || page.nodes.length === 0) return;
    }
  }

  private take(detail: RunDetail): void {
    const before = this.detail.value?.status;
    this.detail.value = detail;
    this.error.value = null;
    if (before && before !== detail.status) {
      this.said.value = `The run is ${detail.status.replace("_", " ")}.`;
      // What a fork had no use for it has not inherited, which is known at its end.
      if (detail.parent && ENDED.has(detail.status)) this.soon(this.again());
    }
    if (detail.progress) this.journal.setActive(detail.progress.running);
    else if (detail.status !== "running") {
      this.journal.rest();
      this.drafts.clear();
    }
  }

  private async follow(): Promise<void> {
    const { signal } = this.stopped;
    while (!signal.aborted) {
      try {
        await this.load();
        const status = this.detail.value!.status;
        if (!ENDED.has(status)) await this.stream(signal);
        this.broken.value = false;
        // An ended run may be taken up again, here or elsewhere: look now and then.
        await pause(ENDED.has(this.detail.value!.status) ? 5 : 1, signal);
      } catch (error) {
        if (signal.aborted) return;
        if (error instanceof ApiError && (error.status === 404 || error.status === 401) && !this.detail.value) {
          this.error.value = error;
          if (error.status === 404) return;
        }
        this.broken.value = true;
        await pause(WAITS[Math.min(this.tries++, WAITS.length - 1)]!, signal);
      }
    }
  }

  private async stream(signal: AbortSignal): Promise<void> {
    const path = runPath(this.run, "events");
    for await (const each of events(path, String(this.journal.seq), signal)) {
      if (this.broken.value) this.said.value = "Connected again.";
      this.broken.value = false;
      this.tries = 0;
      online.value = true;
      const data = JSON.parse(each.data);
      if (each.event === "end" || each.event === "closing") return void (await this.load());
      this.handle(each.event, data);
      if (each.event !== "text") this.changed();
    }
    throw new Error("the stream was cut off");
  }

  private handle(event: string, data: unknown): void {
    switch (event) {
      case "journal": {
        const { seq, kind, node, detail } = data as { seq: number; kind: string; node: NodeRow | null; detail: { calls?: Record<string, Served[]> } };
        this.journal.seq = Math.max(this.journal.seq, seq);
        if (kind === "resumed") this.soon(this.again()); // failures may have been forgotten
        else if (node) this.heard(node);
        else if (kind === "scheduled") for (const [path, served] of Object.entries(detail.calls ?? {})) this.journal.served.set(path, served);
        break;
      }
      case "progress":
        this.journal.setActive((data as { running: Active[] }).running);
        break;
      case "text":
        this.drafts.add(data as Said);
        break;
      case "run": {
        const run = data as Run;
        const known = this.detail.value!;
        this.take({ ...known, ...run });
        if (run.status === known.status) break;
        this.taken = this.asked;
        this.soon(this.load());
      }
    }
  }

  private heard(row: NodeRow): void {
    this.journal.add(row);
    this.next?.add(row);
    this.drafts.end(row.path);
    if (row.state === "failed") this.said.value = `${row.path} failed.`;
    if (row.state === "waiting") {
      this.said.value = `${row.path} waits for an answer.`;
      this.soon(this.load());
    }
  }

  /** What fails here is tried again when the stream is. */
  private soon(work: Promise<void>): void {
    work.catch(() => {});
  }

  private async again(): Promise<void> {
    const next = (this.next = new Journal(this.run));
    await this.loadNodes(next, this.stopped.signal);
    if (this.next !== next) return; // begun once more since
    this.next = null;
    this.journal = next;
    await this.load();
  }

  private changed(): void {
    if (this.frame) return;
    this.frame = requestAnimationFrame(() => {
      this.frame = 0;
      this.version.value++;
    });
  }
}

function pause(seconds: number, signal: AbortSignal): Promise<void> {
  return new Promise((resolve) => {
    const timer = setTimeout(resolve, seconds * 1000);
    signal.addEventListener("abort", () => { clearTimeout(timer); resolve(); }, { once: true });
  });
}
