// Looking again and again at what has no event stream, while the page is in sight.
import { useEffect } from "preact/hooks";
import { locked } from "./api";

/**
 * Calls `look` now and so many seconds after each look has ended, as long as the component is there and `of` is the same.
 * What it throws is told, and it goes on. `look` asks `over()` before it changes anything: whether its answer is wanted still.
 */
export function useLooking(look: (over: () => boolean) => Promise<void>, seconds: number, of: unknown[], tell: (problem: string) => void): void {
  useEffect(() => {
    let over = false;
    let timer = 0;
    const again = async (): Promise<void> => {
      try {
        if (document.visibilityState === "visible" && !locked.value) {
          await look(() => over);
          if (!over) tell("");
        }
      } catch (error) {
        if (!over) tell((error as Error).message);
      }
      if (!over) timer = window.setTimeout(again, seconds * 1000);
    };
    void again();
    return () => { over = true; clearTimeout(timer); };
  }, of);
}
