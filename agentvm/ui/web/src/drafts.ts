// What models have said so far in calls under way: pieces as they come, joined; drawn at most once a frame.
import { signal } from "@preact/signals";

/** A piece, as the server sends it. */
export interface Said {
  path: string;
  draft: number;
  at: number;
  text: string;
}

export interface Draft {
  number: number;
  text: string;
  /** How far the answer has come, what was left out included. */
  end: number;
}

/** Characters that are shown of one answer, from its end. */
const MOST = 20_000;

export class Drafts {
  private readonly known = new Map<string, Draft>();
  /** Grows when something was said. */
  readonly version = signal(0);
  private frame = 0;

  get(path: string): Draft | undefined {
    return this.known.get(path);
  }

  /** Paths of the calls that have said something, newest first. */
  paths(): string[] {
    return [...this.known.keys()].reverse();
  }

  add({ path, draft, at, text }: Said): void {
    const before = this.known.get(path);
    const goesOn = before?.number === draft && at <= before.end;
    // What overlaps was heard before the stream was taken up again; a gap was left out by the server.
    const whole = goesOn ? before.text + text.slice(before.end - at) : (at > 0 ? "… " : "") + text;
    const shown = whole.length > MOST ? `… ${whole.slice(-MOST)}` : whole;
    this.known.set(path, { number: draft, text: shown, end: Math.max(at + text.length, goesOn ? before.end : 0) });
    this.changed();
  }

  end(path: string): void {
    if (this.known.delete(path)) this.changed();
  }

  clear(): void {
    if (this.known.size) this.changed();
    this.known.clear();
  }

  private changed(): void {
    this.frame ||= requestAnimationFrame(() => {
      this.frame = 0;
      this.version.value++;
    });
  }
}
