// Small parts that all views are made of.
import type { ButtonHTMLAttributes, ComponentChildren } from "preact";
import { useEffect, useRef } from "preact/hooks";
import { useSignal } from "@preact/signals";
import { count } from "../format";
import { RUNS, STATES, type NodeState } from "../states";
import type { Json, RunStatus } from "../types";

export function Glyph({ state, glyph }: { state: NodeState; glyph?: string | undefined }) {
  return <span class={`glyph s-${state}`} aria-hidden="true">{glyph ?? STATES[state].glyph}</span>;
}

export function RunChip({ status }: { status: RunStatus }) {
  const look = RUNS[status];
  return <span class={`chip s-${look.state}`}><Glyph state={look.state} glyph={look.glyph} />{look.word}</span>;
}

export function StateChip({ state }: { state: NodeState }) {
  return <span class={`chip s-${state}`}><Glyph state={state} />{STATES[state].word}</span>;
}

type ButtonProps = Omit<ButtonHTMLAttributes<HTMLButtonElement>, "type"> & { kind?: "primary" | "danger" | "quiet"; type?: "submit" | "button" };

export function Button({ kind, class: more, type = "button", ...rest }: ButtonProps) {
  return <button type={type} class={`button ${kind ?? ""} ${more ?? ""}`} {...rest} />;
}

/** Instead of a list that is empty; `first` where it is all of the page. */
export function Empty({ title, children, first }: { title: string; children?: ComponentChildren; first?: boolean }) {
  return (
    <div class="empty">
      <svg viewBox="0 0 120 64" aria-hidden="true">
        <path d="M22 20v10c0 8 6 13 13 13h50c7 0 13-5 13-13v-4M60 43v8" />
        <circle cx="22" cy="14" r="6" /><circle cx="98" cy="20" r="6" /><circle cx="60" cy="56" r="6" />
      </svg>
      {first ? <h1>{title}</h1> : <h2>{title}</h2>}
      {children}
    </div>
  );
}

export function Problem({ message, onRetry }: { message: string; onRetry?: () => void }) {
  return (
    <div class="problem" role="alert">
      <Glyph state="failed" />
      <div class="problem-text">{message}</div>
      {onRetry && <Button onClick={onRetry}>Try again</Button>}
    </div>
  );
}

export function Skeleton({ rows = 6 }: { rows?: number }) {
  return <div class="skeleton" aria-label="Loading" role="status">{Array.from({ length: rows }, (_, n) => <i key={n} />)}</div>;
}

/** A value as text that is nothing but text: what models answer is never markup. */
export function Value({ value, label, short = false }: { value: Json; label: string; short?: boolean }) {
  const all = useSignal(false);
  const copied = useSignal(false);
  const text = typeof value === "string" ? value : JSON.stringify(value, null, 2);
  const cut = short ? 600 : 6000;
  const long = text.length > cut;
  const shown = long && !all.value ? `${text.slice(0, cut)}…` : text;
  const copy = async (): Promise<void> => {
    await navigator.clipboard?.writeText(text);
    copied.value = true;
    setTimeout(() => { copied.value = false; }, 1500);
  };
  return (
    <div class="value">
      <pre class={typeof value === "string" ? "prose" : "json"} tabIndex={0} role="region" aria-label={label}>
        {text === "" ? <span class="muted">(empty text)</span> : shown}
      </pre>
      <button type="button" class="copy" onClick={copy} aria-label={`Copy ${label}`}>{copied.value ? "Copied" : "Copy"}</button>
      {long && <button type="button" class="link" onClick={() => { all.value = !all.value; }}>
        {all.value ? "Show less" : `Show all ${count(text.length)} characters`}
      </button>}
    </div>
  );
}

interface SegmentsProps<T> {
  label: string;
  /** Of the group, in the document. */
  name: string;
  options: readonly (readonly [T, string])[];
  value: T | undefined;
  onChange(value: T): void;
  /** The id of what labels the group, if that is in sight. */
  labelledby?: string;
}

/** One of a few, side by side. */
export function Segments<T>({ label, name, options, value, onChange, labelledby }: SegmentsProps<T>) {
  return (
    <div class="segments" role="radiogroup" {...(labelledby ? { "aria-labelledby": labelledby } : { "aria-label": label })}>
      {options.map(([each, word]) => (
        <label key={word}><input type="radio" name={name} checked={value === each} onChange={() => onChange(each)} />{word}</label>
      ))}
    </div>
  );
}

interface DialogProps {
  title: string;
  onClose: () => void;
  children: ComponentChildren;
  wide?: boolean;
}

/** A dialog of the browser's own: it keeps the focus, and Escape closes it. */
export function Dialog({ title, onClose, children, wide }: DialogProps) {
  const ref = useRef<HTMLDialogElement>(null);
  useEffect(() => {
    const back = document.activeElement as HTMLElement | null;
    ref.current?.showModal();
    return () => back?.focus?.();
  }, []);
  return (
    <dialog ref={ref} class={wide ? "wide" : ""} aria-label={title} onClose={onClose}
      onClick={(event) => { if (event.target === ref.current) onClose(); }}>
      <header>
        <h2>{title}</h2>
        <button type="button" class="icon-button" aria-label="Close" onClick={onClose}>✕</button>
      </header>
      {children}
    </dialog>
  );
}

export function Section({ title, children, aside }: { title: string; children: ComponentChildren; aside?: ComponentChildren }) {
  return (
    <section class="section">
      <h3>{title}{aside && <span class="aside">{aside}</span>}</h3>
      {children}
    </section>
  );
}

export function Facts({ rows }: { rows: [string, ComponentChildren][] }) {
  return (
    <dl class="facts">
      {rows.filter(([, value]) => value !== null && value !== undefined && value !== "").map(([name, value]) => (
        <div key={name}><dt>{name}</dt><dd>{value}</dd></div>
      ))}
    </dl>
  );
}

/** Values by name: short ones in a line, others in a box. */
export function Named({ values }: { values: [string, Json][] }) {
  const brief = values.filter(([, value]) => isBrief(value));
  const long = values.filter(([, value]) => !isBrief(value));
  return (
    <>
      {brief.length > 0 && <Facts rows={brief.map(([name, value]) => [name, value === "" ? <span class="muted">(empty)</span> : typeof value === "string" ? value : <code>{String(value)}</code>])} />}
      {long.map(([name, value]) => <div key={name} class="named-value"><h4>{name}</h4><Value value={value} label={name} short /></div>)}
    </>
  );
}

function isBrief(value: Json): boolean {
  return typeof value !== "object" || value === null ? String(value).length <= 48 && !String(value).includes("\n") : false;
}
