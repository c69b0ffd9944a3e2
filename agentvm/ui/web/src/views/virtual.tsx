// A long list of which only what is in sight is in the document. Arrow keys move, as in a list box.
import type { ComponentChildren } from "preact";
import { useLayoutEffect, useRef } from "preact/hooks";
import { useSignal } from "@preact/signals";

interface Props<T> {
  items: T[];
  height: number;
  label: string;
  keyOf(item: T): string;
  selected: string | null;
  onSelect(key: string): void;
  /** Enter, or a double click. */
  onOpen?(key: string): void;
  row(item: T, selected: boolean): ComponentChildren;
  /** What is in sight, but not in words, for those who do not see it. */
  unseen?(item: T): string;
  class?: string;
}

const SPARE = 8;

export function VirtualList<T>(props: Props<T>) {
  const { items, height, keyOf, selected } = props;
  const ref = useRef<HTMLDivElement>(null);
  const top = useSignal(0);
  const room = useSignal(600);
  const at = selected === null ? -1 : items.findIndex((each) => keyOf(each) === selected);

  useLayoutEffect(() => {
    const element = ref.current!;
    const observer = new ResizeObserver(() => { room.value = element.clientHeight; });
    observer.observe(element);
    room.value = element.clientHeight;
    return () => observer.disconnect();
  }, []);

  const reveal = (n: number): void => {
    const element = ref.current!;
    if (n * height < element.scrollTop) element.scrollTop = n * height;
    else if ((n + 1) * height > element.scrollTop + element.clientHeight) element.scrollTop = (n + 1) * height - element.clientHeight;
  };
  useLayoutEffect(() => { if (at >= 0) reveal(at); }, [selected]);

  const onKeyDown = (event: KeyboardEvent): void => {
    const page = Math.max(1, Math.floor(room.value / height) - 1);
    const steps: Record<string, number> = { ArrowDown: 1, ArrowUp: -1, PageDown: page, PageUp: -page, Home: -Infinity, End: Infinity };
    const step = steps[event.key];
    if (step !== undefined && items.length) {
      event.preventDefault();
      const next = Math.min(items.length - 1, Math.max(0, at < 0 ? (step < 0 || step === Infinity ? items.length - 1 : 0) : at + step));
      props.onSelect(keyOf(items[next]!));
      reveal(next);
    } else if (event.key === "Enter" && at >= 0) {
      event.preventDefault();
      (props.onOpen ?? props.onSelect)(keyOf(items[at]!));
    }
  };

  const first = Math.max(0, Math.floor(top.value / height) - SPARE);
  const last = Math.min(items.length, Math.ceil((top.value + room.value) / height) + SPARE);
  const id = (key: string): string => `row-${key}`;
  return (
    <div class={`virtual ${props.class ?? ""}`} ref={ref} tabIndex={0} role="listbox" aria-label={props.label}
      aria-activedescendant={at >= first && at < last ? id(selected!) : undefined}
      onScroll={() => { top.value = ref.current!.scrollTop; }} onKeyDown={onKeyDown}>
      <div role="presentation" style={{ height: `${items.length * height}px`, position: "relative" }}>
        {items.slice(first, last).map((item, n) => {
          const key = keyOf(item);
          return (
            <div key={key} id={id(key)} role="option" aria-selected={key === selected}
              aria-setsize={items.length} aria-posinset={first + n + 1} class="virtual-row" data-key={key}
              style={{ transform: `translateY(${(first + n) * height}px)`, height: `${height}px` }}
              onClick={() => props.onSelect(key)} onDblClick={() => props.onOpen?.(key)}>
              {props.row(item, key === selected)}
              {props.unseen && <span class="sr-only">{props.unseen(item)}</span>}
            </div>
          );
        })}
      </div>
    </div>
  );
}
