"""Drawing: the scheduler above, runs or the nodes of one below, keys at the foot.

Nothing is told by colour alone, and of a narrow terminal the columns that say
least are left out. What comes from programs and models is cleaned of control
characters, so that it moves no cursor.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Final

from rich.console import Group, JustifyMethod, RenderableType
from rich.table import Table
from rich.text import Text

from agentvm.durations import readable

from .rows import ACTIVE, NodeRow, RunRow
from .state import State

STYLES: Final = {
    "running": "cyan",
    "suspended": "magenta",
    "uncertain": "yellow",
    "interrupted": "yellow",
    "queued": "dim",
    "completed": "green",
    "done": "green",
    "given": "green",
    "reused": "blue",
    "waiting": "magenta",
    "started": "yellow",
    "failed": "red",
    "deadline_missed": "red",
    "cancelled": "dim",
}
WORDS: Final = {"suspended": "waiting", "deadline_missed": "missed"}
"""Statuses in fewer letters."""
KEYS: Final = "↑↓ move  ⏎ nodes  s sort  r reverse  a active  / filter  c cancel  q quit"
NODE_KEYS: Final = "↑↓ move  ⎋ back  c cancel  q quit"


@dataclass(frozen=True, slots=True)
class Column:
    """One column of the table of runs."""

    name: str
    width: int
    need: int
    """Width of the terminal below which it is left out."""
    cell: Callable[[RunRow, float], Text]
    right: bool = True


def clean(text: str) -> str:
    """Without what would move a cursor or colour a terminal."""
    return "".join(each if each.isprintable() else "?" for each in text)


def _status(row: RunRow, now: float) -> Text:
    return Text(WORDS.get(row.status, row.status), STYLES.get(row.status, ""))


def _nodes(row: RunRow, now: float) -> Text:
    return Text(f"{row.nodes}" + (f"+{row.running}" if row.running else ""))


def _left(row: RunRow, now: float) -> Text:
    slack = row.slack(now)
    if slack is None:
        return Text("-", "dim")
    if row.finished_at is not None and not row.met:
        return Text(f"{readable(-slack)} late" if slack < 0 else "not met", "red")
    if slack < 0:
        return Text(f"{readable(-slack)} late", "bold red")
    return Text(readable(slack), "yellow" if slack < 10 and row.status in ACTIVE else "")


def _cost(row: RunRow, now: float) -> Text:
    return Text("-" if row.cost is None else f"{row.cost:.4g}", "dim" if row.cost is None else "")


COLUMNS: Final = (
    Column("RUN", 18, 0, lambda row, now: Text(clean(row.run)), right=False),
    Column("AGENT", 14, 72, lambda row, now: Text(clean(row.agent.rpartition(":")[2])), right=False),
    Column("STATUS", 11, 0, _status, right=False),
    Column("NODES", 7, 50, _nodes),
    Column("LEFT", 12, 36, _left),
    Column("TIME", 9, 84, lambda row, now: Text(readable(row.seconds(now)))),
    Column("IN", 8, 94, lambda row, now: Text(f"{row.input_tokens:,}")),
    Column("OUT", 8, 60, lambda row, now: Text(f"{row.output_tokens:,}")),
    Column("COST", 8, 104, _cost),
)


def screen(state: State, width: int, height: int) -> RenderableType:
    """All of it, as many lines as the terminal has."""
    head = heading(state)
    foot = _foot(state)
    room = max(1, height - len(head) - 2)
    body = _node_table(state, room - 1) if state.opened is not None else run_table(state, width, room)
    return Group(*head, body, foot)


def heading(state: State) -> list[Text]:
    """What is looked at, the engine, and goodput by class; a line each."""
    seen = state.seen
    counts = {name: sum(each.status == name for each in seen.runs) for name in ACTIVE}
    some = ", ".join(f"{number} {WORDS.get(name, name)}" for name, number in counts.items() if number)
    clock = time.strftime("%H:%M:%S", time.localtime(seen.at))
    lines = [_line(("agentvm top", "bold"), f"  {clock}  {len(seen.runs)} runs: {some or 'none is active'}")]
    if seen.engine is not None:
        engine = seen.engine
        parts = [f"{engine.running} running", f"{engine.waiting} waiting", f"{engine.held} held"]
        if seen.step is not None:
            parts.append(f"step {1000 * seen.step:.0f} ms")
        if engine.kv_cache is not None:
            parts.append(f"KV {engine.kv_cache:.0%}")
        if engine.preemptions:
            parts.append(f"{engine.preemptions} preempted")
        lines.append(_line(("engine   ", "bold"), ", ".join(parts)))
    classes = [
        f"{name.replace('_', ' ')} {each.met / (each.met + each.missed):.0%}"
        f" ({each.met}/{each.met + each.missed}, {each.good_tokens:,} tok)"
        for name, each in sorted(seen.classes.items())
        if each.met + each.missed
    ]
    if classes:
        lines.append(_line(("goodput  ", "bold"), "  ".join(classes)))
    if state.problem:
        lines.append(_line((f"! {clean(state.problem)}", "bold red")))
    return lines


def _line(*parts: str | tuple[str, str]) -> Text:
    return Text.assemble(*parts, no_wrap=True, overflow="ellipsis")


def run_table(state: State, width: int, room: int | None = None) -> RenderableType:
    """The runs; as many as there is room for, the marked one among them."""
    rows = state.runs()
    if not rows:
        none = "No runs yet." if not state.seen.runs else "No run fits: press a or /."
        return Text(none, "dim")
    columns = [each for each in COLUMNS if width >= each.need]
    table = _table(expand=room is not None)
    for each in columns:
        mark = "▾" if state.sort == each.name.lower() or (state.sort, each.name) in _SORTED else ""
        least = (each.width if each.right else min(each.width, 11)) if width >= 60 else None
        justify: JustifyMethod = "right" if each.right else "left"
        table.add_column(f"{each.name}{mark}", justify=justify, min_width=least, no_wrap=True)
    place = state.place(rows)
    first, last = _window(place, len(rows), None if room is None else room - 1)
    for number in range(first, last):
        row = rows[number]
        here = room is not None and number == place
        cells = [each.cell(row, state.now) for each in columns]
        cells[0] = Text(f"{'>' if here else ' '}").append_text(cells[0])
        table.add_row(*cells, style="reverse" if here else "")
    return table


_SORTED: Final = {("slack", "LEFT"), ("tokens", "OUT")}


def _node_table(state: State, room: int) -> RenderableType:
    run = state.run(state.opened)
    title = clean(f"{state.opened}" + ("" if run is None else f"  {run.agent}  {run.status}"))
    table = _table(expand=True)
    for name in ("NODE", "KIND", "STATE", "TIME", "OUT", "SLACK"):
        left = name in ("NODE", "KIND", "STATE")
        table.add_column(
            name, justify="left" if left else "right", no_wrap=True, ratio=1 if name == "NODE" else None
        )
    first, last = _window(state.at, len(state.nodes), room - 1)
    for number in range(first, last):
        here = number == state.at
        table.add_row(*_node_cells(state.nodes[number], state.now, here), style="reverse" if here else "")
    return Group(_line((title, "bold")), table)


def _node_cells(node: NodeRow, now: float, here: bool) -> Sequence[Text]:
    began = node.started_at
    over = node.finished_at if node.state != "running" else now
    took = "" if began is None or over is None else readable(max(0.0, over - began))
    slack = node.slack
    return (
        Text(f"{'>' if here else ' '}{clean(node.path)}", overflow="ellipsis"),
        Text(clean(node.kind)),
        Text(node.state, STYLES.get(node.state, "")),
        Text(took),
        Text("" if node.output_tokens is None else f"{node.output_tokens:,}"),
        Text("" if slack is None else readable(slack) if slack >= 0 else f"{readable(-slack)} late"),
    )


def _table(expand: bool) -> Table:
    return Table(box=None, pad_edge=False, expand=expand, header_style="bold", padding=(0, 1, 0, 0))


def _window(place: int, many: int, room: int | None) -> tuple[int, int]:
    """The part of a list that is shown, so that a place is in it."""
    if room is None or many <= room:
        return 0, many
    room = max(1, room)
    first = max(0, min(place - room // 2, many - room))
    return first, first + room


def _foot(state: State) -> Text:
    if state.asked is not None:
        return _line((f"Cancel run {clean(state.asked)} for good? y/n", "bold yellow"))
    if state.typing:
        return _line(("filter: ", "bold"), clean(state.text), "▏", ("   ⏎ keep  ⎋ drop", "dim"))
    if state.said:
        return _line((clean(state.said), "bold"))
    order = f"by {state.sort}{', reversed' if state.backwards else ''}"
    chosen = [
        order,
        *(["active only"] if state.active else []),
        *([f"“{clean(state.text)}”"] if state.text else []),
    ]
    if state.opened is not None:
        return _line((NODE_KEYS, "dim"))
    return _line((f"{KEYS}   [{', '.join(chosen)}]", "dim"))
