// The HTTP API: requests, errors with their messages, event streams that can be taken up again.
import { signal } from "@preact/signals";

export class ApiError extends Error {
  constructor(readonly status: number, message: string) {
    super(message);
  }
}

/** Whether the server wants a token that it has not been given. */
export const locked = signal(false);
/** Whether the last request reached the server. */
export const online = signal(true);

/** Exchange the token for a cookie that no script can read. */
export async function signIn(token: string): Promise<void> {
  await post("/v1/session", { token });
  locked.value = false;
}

/** Use a token in the address (`#token=...`, as the server prints it), and take it out of sight. */
export async function signInByAddress(): Promise<void> {
  const given = /^#token=([^&/]+)/.exec(location.hash);
  if (!given) return;
  history.replaceState(null, "", location.pathname);
  await signIn(decodeURIComponent(given[1]!)).catch(() => {});
}

async function request(path: string, init: RequestInit): Promise<Response> {
  let response: Response;
  try {
    response = await fetch(path, init);
  } catch (error) {
    if (init.signal?.aborted) throw error;
    online.value = false;
    throw new ApiError(0, "The server cannot be reached.");
  }
  online.value = true;
  if (response.status === 401) locked.value = true;
  if (!response.ok) throw new ApiError(response.status, await messageOf(response));
  return response;
}

async function messageOf(response: Response): Promise<string> {
  try {
    const body = await response.json();
    const found = body.error?.message ?? body.message ?? body.detail ?? body.error;
    if (typeof found === "string") return found;
    if (Array.isArray(found)) return found.map((each) => `${each.loc?.join(".")}: ${each.msg}`).join("\n");
  } catch {
    // no JSON: the status has to do
  }
  return `The server answered ${response.status} ${response.statusText}.`;
}

export async function get<T>(path: string, signal?: AbortSignal): Promise<T> {
  return (await request(path, signal ? { signal } : {})).json() as Promise<T>;
}

export async function post<T>(path: string, body: unknown): Promise<T> {
  const init = { method: "POST", headers: { "Content-Type": "application/json" }, body: JSON.stringify(body) };
  return (await request(path, init)).json() as Promise<T>;
}

export interface ServerEvent {
  id: string;
  event: string;
  data: string;
}

/** The events of a stream until it ends; throws when it breaks. */
export async function* events(path: string, after: string, signal: AbortSignal): AsyncGenerator<ServerEvent> {
  const response = await request(path, {
    headers: { Accept: "text/event-stream", ...(after && { "Last-Event-ID": after }) },
    signal,
  });
  const reader = response.body!.pipeThrough(new TextDecoderStream()).getReader();
  let rest = "";
  for (;;) {
    const { value, done } = await reader.read();
    if (done) return;
    rest += value;
    const blocks = rest.split(/\r?\n\r?\n/);
    rest = blocks.pop() ?? "";
    for (const block of blocks) {
      const found = parse(block);
      if (found) yield found;
    }
  }
}

function parse(block: string): ServerEvent | null {
  const found = { id: "", event: "message", data: "" };
  let any = false;
  for (const line of block.split(/\r?\n/)) {
    const colon = line.indexOf(":");
    if (colon <= 0) continue; // a comment keeps the connection open
    const name = line.slice(0, colon);
    const value = line.slice(colon + 1).replace(/^ /, "");
    if (name === "data") {
      found.data += (found.data && "\n") + value;
      any = true;
    } else if (name === "id" || name === "event") found[name] = value;
  }
  return any ? found : null;
}

export function runPath(run: string, ...more: string[]): string {
  return ["/v1/runs", encodeURIComponent(run), ...more].join("/");
}
