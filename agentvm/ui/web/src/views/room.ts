// How wide an element is, kept up to date.
import { useSignal } from "@preact/signals";
import type { RefCallback } from "preact";
import { useCallback, useRef } from "preact/hooks";

/** A reference for the element, and its width in pixels, which is never less than given. */
export function useRoom(least: number): [RefCallback<HTMLElement>, number] {
  const width = useSignal(1000);
  const observer = useRef<ResizeObserver | null>(null);
  const ref = useCallback((element: HTMLElement | null) => {
    observer.current?.disconnect();
    if (!element) return;
    observer.current = new ResizeObserver(([entry]) => { width.value = Math.max(least, entry!.contentRect.width); });
    observer.current.observe(element);
  }, []);
  return [ref, width.value];
}
