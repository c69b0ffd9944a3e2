// The parts of a drawn graph: boxes with their iterations, and the nodes in them.
import { HEADER } from "../graph/geometry";
import type { Rect } from "../graph/layout";
import type { Shape } from "../graph/outline";
import { subOf, titleOf } from "../graph/titles";
import { loudest, type Counts } from "../journal";
import type { Live } from "../live";
import { STATES, type NodeState } from "../states";

interface PartProps {
  shape: Shape;
  rect: Rect;
  state: NodeState;
  path: string;
  live: Live;
  chosen: boolean;
  onPick(): void;
}

export function BoxFrame({ rect, state, chosen, onPick }: Pick<PartProps, "shape" | "rect" | "state" | "chosen" | "onPick">) {
  return <rect class={`box s-${state} ${chosen ? "chosen" : ""}`} x={rect.x} y={rect.y} width={rect.width} height={rect.height} rx={12} onClick={onPick} aria-hidden="true" />;
}

export function BoxHead({ shape, rect, state, path, live, chosen, iteration, onPick, onClose, onIteration }: PartProps & {
  iteration: number;
  onClose(): void;
  onIteration(n: number): void;
}) {
  const repeated = shape.node.kind === "loop" || shape.node.kind === "map";
  const last = live.journal.boxes.get(path)?.last ?? -1;
  const title = titleOf(shape);
  const counter = repeated && last >= 0 ? `${iteration + 1} of ${last + 1}` : "";
  return (
    <g id={`shape-${shape.id}`} role="option" aria-selected={chosen} class={`head s-${state}`} data-path={path} data-state={state}
      aria-label={`${title} ${counter}, ${shape.node.kind}, ${STATES[state].word}`}>
      <g onClick={onPick} class="hit">
        <rect x={rect.x} y={rect.y} width={rect.width} height={HEADER} rx={12} fill="transparent" />
        <StateDot x={rect.x + 19} y={rect.y + 18} state={state} />
        <text x={rect.x + 35} y={rect.y + 22} class="title">{title}</text>
      </g>
      {counter && (
        <g class="stepper">
          <Step x={rect.x + rect.width - 118} y={rect.y + 18} sign="‹" label="Iteration before" off={iteration <= 0} onStep={() => onIteration(iteration - 1)} />
          <text x={rect.x + rect.width - 75} y={rect.y + 22} text-anchor="middle">{counter}</text>
          <Step x={rect.x + rect.width - 36} y={rect.y + 18} sign="›" label="Next iteration" off={iteration >= last} onStep={() => onIteration(iteration + 1)} />
        </g>
      )}
      <Step x={rect.x + rect.width - 16} y={rect.y + 18} sign="−" label={`Close ${title}`} onStep={onClose} />
      {repeated && last >= 0 && <Strip rect={rect} path={path} last={last} iteration={iteration} live={live} onIteration={onIteration} />}
    </g>
  );
}

function Step({ x, y, sign, label, off, onStep }: { x: number; y: number; sign: string; label: string; off?: boolean; onStep(): void }) {
  return (
    <g class={`step ${off ? "off" : ""}`} onClick={off ? undefined : onStep} aria-hidden="true">
      <title>{label}</title>
      <circle cx={x} cy={y} r={9} />
      <text x={x} y={y + 4} text-anchor="middle">{sign}</text>
    </g>
  );
}

/** All iterations as cells; of many, each cell stands for several. */
function Strip({ rect, path, last, iteration, live, onIteration }: { rect: Rect; path: string; last: number; iteration: number; live: Live; onIteration(n: number): void }) {
  const width = rect.width - 24;
  const cells = Math.min(last + 1, Math.floor(width / 5));
  const each = Math.min(30, width / cells);
  const span = (last + 1) / cells;
  return (
    <g class="strip" aria-hidden="true">
      {Array.from({ length: cells }, (_, n) => {
        const from = Math.floor(n * span);
        const to = Math.max(from + 1, Math.floor((n + 1) * span));
        const counts: Counts = {};
        for (let at = from; at < to; at++) {
          const state = live.journal.boxState(`${path}[${at}]`) ?? "pending";
          counts[state] = (counts[state] ?? 0) + 1;
        }
        const here = iteration >= from && iteration < to;
        return <rect key={n} class={`cell s-${loudest(counts) ?? "pending"} ${here ? "here" : ""}`} x={rect.x + 12 + n * each} y={rect.y + HEADER}
          width={Math.min(each - (each > 4 ? 1.5 : 0), 26)} height={8} rx={2} onClick={() => onIteration(from)} />;
      })}
    </g>
  );
}

export function Leaf({ shape, rect, state, path, live, chosen, onPick, onOpen }: PartProps & { onOpen(): void }) {
  const { node } = shape;
  const title = titleOf(shape);
  const sub = subOf(shape, path, live, state);
  return (
    <g id={`shape-${shape.id}`} role="option" aria-selected={chosen} class={`leaf hit k-${node.kind} s-${state} ${chosen ? "chosen" : ""}`}
      data-path={path} data-state={state} aria-label={`${title} ${sub}, ${STATES[state].word}`} onClick={onPick} onDblClick={() => shape.box && onOpen()}>
      <rect x={rect.x} y={rect.y} width={rect.width} height={rect.height} rx={node.kind === "python" ? 6 : 10} class="card" />
      <StateDot x={rect.x + 20} y={rect.y + rect.height / 2} state={state} />
      <text x={rect.x + 37} y={rect.y + (sub ? 20 : rect.height / 2 + 4)} class="title">{title}</text>{" "}
      {sub && <text x={rect.x + 37} y={rect.y + 35} class="sub">{sub}</text>}
      {shape.box && <Step x={rect.x + rect.width - 16} y={rect.y + rect.height / 2} sign="+" label={`Open ${title}`} onStep={onOpen} />}
    </g>
  );
}

function StateDot({ x, y, state }: { x: number; y: number; state: NodeState }) {
  return (
    <g class={`dot s-${state}`}>
      <circle cx={x} cy={y} r={9} />
      {state === "running"
        ? <path class="spin" style={{ transformOrigin: `${x}px ${y}px` }} d={`M${x} ${y - 5.5}a5.5 5.5 0 0 1 5.5 5.5`} />
        : <text x={x} y={y + 4} text-anchor="middle">{STATES[state].glyph}</text>}
    </g>
  );
}
