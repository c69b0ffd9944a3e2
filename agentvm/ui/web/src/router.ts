// Places in the page are in the URL's fragment, so that they can be linked to and the server needs no routes.
import { signal } from "@preact/signals";

export interface Place {
  parts: string[];
  query: URLSearchParams;
}

function read(): Place {
  const [path = "", query = ""] = location.hash.replace(/^#\/?/, "").split("?");
  return { parts: path.split("/").filter(Boolean).map(decodeURIComponent), query: new URLSearchParams(query) };
}

export const place = signal<Place>(read());
/** Read the address anew, after it was changed without an event. */
export const reread = (): void => { place.value = read(); };
addEventListener("hashchange", () => { place.value = read(); });

export function href(parts: string[], query: Record<string, string> = {}): string {
  const search = new URLSearchParams(query).toString();
  return `#/${parts.map(encodeURIComponent).join("/")}${search ? `?${search}` : ""}`;
}

export function go(parts: string[], query: Record<string, string> = {}): void {
  location.hash = href(parts, query);
}

/** Change the query of this place; no new entry of the history. */
export function setQuery(changes: Record<string, string | null>): void {
  const { parts, query } = place.value;
  const next = new URLSearchParams(query);
  for (const [name, value] of Object.entries(changes)) {
    if (value === null) next.delete(name);
    else next.set(name, value);
  }
  history.replaceState(null, "", href(parts, Object.fromEntries(next)));
  place.value = read();
}
