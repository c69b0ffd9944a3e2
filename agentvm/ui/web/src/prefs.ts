// What a reader has chosen, kept in this browser.
import { effect, signal, type Signal } from "@preact/signals";

function kept<T>(name: string, fallback: T): Signal<T> {
  let start = fallback;
  try {
    start = JSON.parse(localStorage.getItem(`agentvm-${name}`) ?? "null") ?? fallback;
  } catch {
    // what is there is not ours
  }
  const found = signal(start);
  effect(() => {
    if (found.value === fallback) localStorage.removeItem(`agentvm-${name}`);
    else localStorage.setItem(`agentvm-${name}`, JSON.stringify(found.value));
  });
  return found;
}

export type Theme = "auto" | "light" | "dark";

export const theme = kept<Theme>("theme", "auto");
/** Whether plain Python is shown between the calls. */
export const plain = kept("plain", false);
export const runView = kept<"graph" | "timeline">("view", "graph");

effect(() => {
  document.documentElement.dataset.theme = theme.value;
});
