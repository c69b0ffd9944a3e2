// Choosing the run to compare with: those of the same fork tree first, then the newest of the same agent.
import { useSignal } from "@preact/signals";
import { useEffect } from "preact/hooks";
import { get, runPath } from "../api";
import { ago } from "../format";
import type { Run, RunPage, Tree } from "../types";
import { Dialog, RunChip } from "./parts";

interface Choice {
  id: string;
  run: Run | null;
  about: string;
}

export function CompareDialog({ run, onClose, onPick }: { run: string; onClose(): void; onPick(other: string): void }) {
  const text = useSignal("");
  const found = useSignal<Choice[]>([]);
  useEffect(() => {
    const load = async (): Promise<void> => {
      const [tree, page] = await Promise.all([
        get<Tree>(runPath(run, "tree")).catch(() => null),
        get<RunPage>("/v1/runs?limit=100"),
      ]);
      const byId = new Map(page.runs.map((each) => [each.id, each]));
      const kin: Choice[] = tree ? [...flat(tree)].map((each) => ({ id: each.run, run: byId.get(each.run) ?? null, about: each.difference || "original" })) : [];
      const agent = byId.get(run)?.agent;
      const known = new Set(kin.map((each) => each.id));
      const others = page.runs.filter((each) => !known.has(each.id) && (!agent || each.agent === agent));
      found.value = [...kin, ...others.map((each) => ({ id: each.id, run: each, about: "" }))].filter((each) => each.id !== run);
    };
    void load();
  }, [run]);
  const shown = found.value.filter((each) => each.id.includes(text.value.trim()));
  return (
    <Dialog title="Compare with" onClose={onClose}>
      <form class="form" onSubmit={(event) => { event.preventDefault(); const first = shown[0]; if (first || text.value) onPick(first?.id ?? text.value.trim()); }}>
        <input type="search" placeholder="Run id" aria-label="Run to compare with" value={text.value} onInput={(event) => { text.value = event.currentTarget.value; }} />
        <ul class="pick">
          {shown.slice(0, 40).map((each) => (
            <li key={each.id}>
              <button type="button" onClick={() => onPick(each.id)}>
                <code>{each.id}</code>{each.run && <RunChip status={each.run.status} />}
                <span class="muted">{each.about || (each.run ? ago(each.run.created_at, Date.now() / 1000) : "")}</span>
              </button>
            </li>
          ))}
          {shown.length === 0 && <li class="muted">No other run of this agent. Give the id of any run.</li>}
        </ul>
      </form>
    </Dialog>
  );
}

function* flat(tree: Tree): Generator<Tree> {
  yield tree;
  for (const each of tree.forks) yield* flat(each);
}
