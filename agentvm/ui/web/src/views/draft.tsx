// What models say while they say it. It is text and nothing else, as all that models answer.
import { useLayoutEffect, useRef } from "preact/hooks";
import type { Live } from "../live";
import { setQuery } from "../router";
import { Section } from "./parts";

/** Calls whose words the run's panel shows. */
const CALLS = 4;
const TAIL = 240;

/** The answer of one call so far; it stays at its end unless somebody has scrolled up. */
export function DraftSection({ live, path }: { live: Live; path: string }) {
  const ref = useRef<HTMLPreElement>(null);
  const follows = useRef(true);
  live.drafts.version.value;
  const draft = live.drafts.get(path);
  useLayoutEffect(() => {
    if (ref.current && follows.current) ref.current.scrollTop = ref.current.scrollHeight;
  }, [draft]);
  const onScroll = (): void => {
    const { scrollTop, scrollHeight, clientHeight } = ref.current!;
    follows.current = scrollHeight - scrollTop - clientHeight < 24;
  };
  if (!draft) return null;
  return (
    <Section title="Output" aside="as it comes">
      <div class="value"><pre ref={ref} class="prose draft" tabIndex={0} role="region" aria-label="output so far" aria-busy="true" onScroll={onScroll}>{draft.text}</pre></div>
    </Section>
  );
}

/** Of a run, the last words of calls under way. */
export function DraftList({ live }: { live: Live }) {
  live.drafts.version.value;
  const paths = live.drafts.paths();
  if (paths.length === 0) return null;
  return (
    <Section title="Being said" aside={paths.length > CALLS ? `the newest ${CALLS} of ${paths.length} calls` : undefined}>
      <ul class="drafts">
        {paths.slice(0, CALLS).map((path) => (
          <li key={path}>
            <button type="button" class="link" onClick={() => setQuery({ node: path })}>{path}</button>
            <p class="draft-tail">{tail(live.drafts.get(path)!.text)}</p>
          </li>
        ))}
      </ul>
    </Section>
  );
}

function tail(text: string): string {
  return text.length > TAIL ? `…${text.slice(-TAIL)}` : text;
}
