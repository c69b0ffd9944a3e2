// Moving a picture by dragging its ground.
import type { Signal } from "@preact/signals";
import { useEffect } from "preact/hooks";

/** Where a picture is, and how large it is drawn. */
export interface View { x: number; y: number; scale: number }

export function useDrag(ref: { current: HTMLDivElement | null }, view: Signal<View>): void {
  useEffect(() => {
    const element = ref.current!;
    let from: { x: number; y: number; view: View } | null = null;
    const down = (event: PointerEvent): void => {
      if (event.button !== 0 || (event.target as Element).closest(".hit, .step, .cell, button")) return;
      from = { x: event.clientX, y: event.clientY, view: view.peek() };
      element.setPointerCapture(event.pointerId);
      element.classList.add("dragging");
    };
    const move = (event: PointerEvent): void => {
      if (from) view.value = { ...from.view, x: from.view.x + event.clientX - from.x, y: from.view.y + event.clientY - from.y };
    };
    const up = (): void => {
      from = null;
      element.classList.remove("dragging");
    };
    element.addEventListener("pointerdown", down);
    element.addEventListener("pointermove", move);
    element.addEventListener("pointerup", up);
    element.addEventListener("pointercancel", up);
    return () => {
      element.removeEventListener("pointerdown", down);
      element.removeEventListener("pointermove", move);
      element.removeEventListener("pointerup", up);
      element.removeEventListener("pointercancel", up);
    };
  }, []);
}
