"""Setting apart: in a loop, what is gathered is made by one node and put away by the next."""

from __future__ import annotations

from pathlib import Path

import pytest

from agentvm_compiler.compile import compile_agent
from agentvm_compiler.ir import Kind
from tests.differential.modules import imported

HEAD = """\
import heapq
from collections import Counter, defaultdict
from dataclasses import dataclass, field

from pydantic import BaseModel

from agentvm import agent, tool

SETTINGS = {}
CALLS = []


@dataclass
class Hit:
    text: str
    score: int


@dataclass
class State:
    notes: list[str] = field(default_factory=list)
    text: str = ""
    best: Hit | None = None


class Note(BaseModel):
    text: str
    number: int = 0


def clean(text: str) -> str:
    return text.strip()


def weigh(hit: Hit) -> int:
    return hit.score * 2


def same(value):
    return value


def longer(values: list) -> int:
    values.append("longer")
    return len(values)


def setting(text: str) -> str:
    return SETTINGS.get(text, "")


def logged(text: str) -> str:
    CALLS.append(text)
    return text


@tool(effect="read")
async def find(number: int) -> Hit:
    return Hit(f"hit {number}", number)


@agent
async def program(count: int, given: list[str]):
    notes, seen, heap, text, counts, totals, state = [], set(), [], "", Counter(), {}, State()
    rows: list[list[str]] = []
    groups: defaultdict[int, list[str]] = defaultdict(list)
    named: dict[str, list[str]] = {}
    unmade: defaultdict[int, list[str]] = defaultdict(None)
    for number in range(count):
        hit = await find(number)
        {0}
    return notes, seen, rows, heap, text, counts, totals, groups, named, state, given
"""


def lowered(statement: str, folder: Path) -> list[str]:
    """The code of the nodes that a statement in a loop becomes."""
    return nodes_of(HEAD.replace("{0}", statement.replace("\n", "\n" + " " * 8)), folder)


def nodes_of(source: str, folder: Path) -> list[str]:
    """The code in the loop of a program."""
    with imported(source, "agentvm_apart", folder) as module:
        program = compile_agent(module.program).program
    [loop] = [each for each in program.body.nodes if each.kind is Kind.LOOP]
    return [each.code for each in loop.regions[-1].walk() if each.kind is Kind.PYTHON]


APART = [
    ("notes.append(Note(text=hit.text))", ["_1 = Note(text=hit.text)", "notes.append(_1)"]),
    (
        "notes.append(Note.model_validate_json(hit.text))",
        ["_1 = Note.model_validate_json(hit.text)", "notes.append(_1)"],
    ),
    ("notes.append(clean(hit.text))", ["_1 = clean(hit.text)", "notes.append(_1)"]),
    ("notes.append([clean(w) for w in hit.text])", ["_1 = [clean(w) for w in hit.text]", "notes.append(_1)"]),
    ("notes.append({'text': clean(hit.text)})", ["_1 = {'text': clean(hit.text)}", "notes.append(_1)"]),
    ("notes.append(f'{hit}')", ["_1 = f'{hit}'", "notes.append(_1)"]),
    (
        "notes.append(number and clean(hit.text))",
        ["_1 = number and clean(hit.text)", "notes.append(_1)"],
    ),
    (
        "notes.append(Note(text=hit.text, number=len(notes)))",
        ["_1 = hit.text", "_2 = len(notes)", "_3 = Note(text=_1, number=_2)", "notes.append(_3)"],
    ),
    ("notes += [clean(hit.text)]", ["_1 = [clean(hit.text)]", "notes += _1"]),
    ("notes = notes + [clean(hit.text)]", ["_1 = [clean(hit.text)]", "notes = notes + _1"]),
    ("text += clean(hit.text) + '!'", ["_1 = clean(hit.text) + '!'", "text += _1"]),
    (
        "totals[clean(hit.text)] = weigh(hit)",
        ["_1 = weigh(hit)", "_2 = clean(hit.text)", "totals[_2] = _1"],
    ),
    ("totals[hit.text] = weigh(hit)", ["_1 = weigh(hit)", "totals[hit.text] = _1"]),
    ("heapq.heappush(heap, (weigh(hit), number))", ["_1 = (weigh(hit), number)", "heapq.heappush(heap, _1)"]),
    ("state.notes.append(clean(hit.text))", ["_1 = clean(hit.text)", "state.notes.append(_1)"]),
    ("state.text += clean(hit.text)", ["_1 = clean(hit.text)", "state.text += _1"]),
    ("counts[hit.text] += weigh(hit)", ["_1 = weigh(hit)", "counts[hit.text] += _1"]),
    ("groups[number].append(clean(hit.text))", ["_1 = clean(hit.text)", "groups[number].append(_1)"]),
    (
        "named.setdefault(hit.text, []).append(clean(hit.text))",
        ["_1 = clean(hit.text)", "named.setdefault(hit.text, []).append(_1)"],
    ),
    (
        "if clean(hit.text) not in seen:\n    seen.add(hit.text)",
        ["_1 = clean(hit.text)", "if _1 not in seen:\n    seen.add(hit.text)"],
    ),
    (
        "if weigh(hit) > 3:\n    notes.append(hit.text)",
        ["_1 = not not weigh(hit) > 3", "if _1:\n    notes.append(hit.text)"],
    ),
    (
        "if number:\n    notes.append(clean(hit.text))",
        ["_if = not not number", "_1 = clean(hit.text)", "notes.append(_1)"],
    ),
    (
        "try:\n    notes.append(clean(hit.text))\n    await find(1)\nexcept ValueError:\n    pass",
        ["_1 = clean(hit.text)", "notes.append(_1)"],
    ),
    ("notes.append(logged(hit.text))", ["_1 = logged(hit.text)", "notes.append(_1)"]),
    (
        "for each in hit.text:\n    notes.append(clean(each))",
        ["_1 = [clean(each) for each in hit.text]", "notes.extend(_1)"],
    ),
    (
        "for place, each in enumerate(hit.text):\n    if place:\n        seen.add(clean(each))",
        ["_1 = [clean(each) for place, each in enumerate(hit.text) if place]", "seen.update(_1)"],
    ),
    (
        "notes.extend(clean(each) for each in hit.text)",
        ["_1 = [*(clean(each) for each in hit.text)]", "notes.extend(_1)"],
    ),
]


@pytest.mark.parametrize(("statement", "nodes"), APART)
def test_what_is_opaque_is_a_node_before_what_is_known(statement: str, nodes: list[str], tmp_path: Path):
    """Calls, constructors, comprehensions: in Python's order, and what reads the container before them."""
    assert lowered(statement, tmp_path) == nodes


KEPT = [
    "notes.append(hit.text)",
    "notes.append(Hit(hit.text, len(notes)))",
    "notes.append(sorted([number, 1], reverse=True))",
    "notes.append(longer(notes))",
    "notes.append(longer(rows))",
    "notes.append(weigh(notes[-1]))",
    "notes.append([each for each in notes])",
    "notes.append((found := clean(hit.text)))",
    "notes.append(setting)",
    "rows[-1].append(clean(hit.text))",
    "rows[number] += [clean(hit.text)]",
    "totals[hit.text] += weigh(hit)",
    "named[hit.text].append(clean(hit.text))",
    "for each in hit.text:\n    notes.append(each)",
    "for each in hit.text:\n    notes.append((each, clean(notes[-1])))",
    "for each in hit.text:\n    totals[each] = clean(each)",
    "for each in hit.text:\n    notes.append(clean(each))\n    text += each",
    "for each in hit.text:\n    groups[len(each)].append(clean(each))",
    "for each in hit.text:\n    groups[number].append(clean(each))",
    "for each in hit.text:\n    named.setdefault(hit.text, []).append(clean(each))",
    "for each in hit.text:\n    seen.add(same(each))",
    "seen.update((same(each) for each in hit.text))",
    "groups[number].append(Note(text=hit.text, number=len(groups)))",
    "groups[number].append((len(groups), clean(hit.text)))",
    "groups[number] += [Note(text=hit.text, number=len(groups))]",
    "groups[number][clean(str(len(groups)))] = weigh(hit)",
    "named.setdefault(hit.text, []).append(Note(text=hit.text, number=len(named)))",
    "unmade[number].append(clean(hit.text))",
    "notes.append({'number': len(notes), **same(hit), 'text': clean(hit.text)})",
    "notes.append(*map(clean, hit.text))",
    "if len(notes) < 3 and weigh(hit):\n    notes.append(hit.text)",
    "best = weigh(hit)",
    "hit.text = clean(hit.text)",
]


@pytest.mark.parametrize("statement", KEPT)
def test_what_could_be_told_is_left_as_it_is(statement: str, tmp_path: Path):
    """What changes the container, what may fail before it, what is known or gathers nothing."""
    assert lowered(statement, tmp_path) == [statement]


def test_a_handler_sees_what_was_put_in_before_the_failure(tmp_path: Path):
    """A `defaultdict` has an empty item for the key then, so that the call stays after it."""
    inner = "groups[number].append(clean(hit.text))"
    statement = f"try:\n    {inner}\n    await find(2)\nexcept ValueError:\n    pass"
    assert lowered(statement, tmp_path) == [inner]


def test_a_handler_sees_the_items_before_the_one_that_failed(tmp_path: Path):
    """So they are put in one by one."""
    inner = "for each in hit.text:\n        notes.append(clean(each))"
    statement = f"try:\n    {inner}\n    await find(2)\nexcept ValueError:\n    pass"
    assert lowered(statement, tmp_path) == [inner.replace("        ", "    ")]


def test_the_last_item_may_be_read_after_the_loop(tmp_path: Path):
    """The name is one of the function's then."""
    inner = "for each in hit.text:\n    notes.append(clean(each))"
    assert lowered(f"{inner}\nnotes.append(each)", tmp_path) == [inner, "notes.append(each)"]


def test_a_loop_around_reads_the_last_item_of_the_one_inside(tmp_path: Path):
    """And what is read after both is of the inner one, too, if that had any."""
    inner = "for each in hit.text:\n        notes.append(clean(each))"
    source = HEAD.replace("{0}", f"for each in given:\n            await find(2)\n            {inner}")
    source = source.replace("        notes.append(clean(each))", "                notes.append(clean(each))")
    source = source.replace("    return notes,", "    return each, notes,")
    assert "notes.extend(" not in "".join(nodes_of(source, tmp_path))
    assert "notes.extend(_1)" in nodes_of(source.replace("return each, notes", "return notes"), tmp_path)


def test_a_parameter_is_seen_by_who_gave_it(tmp_path: Path):
    """What is put into it before a failure stays there."""
    source = HEAD.replace("given: list[str]", "given: defaultdict[int, list[str]]")
    with imported(
        source.replace("{0}", "given[number].append(clean(hit.text))"), "agentvm_apart", tmp_path
    ) as module:
        assert "_1 = clean" not in compile_agent(module.program).module.to_text()


def test_outside_of_loops_nothing_is_gathered(tmp_path: Path):
    """A statement that runs once is one node."""
    source = HEAD.replace("{0}", "pass").replace("    for", "    notes.append(clean(given[0]))\n    for", 1)
    with imported(source, "agentvm_apart_once", tmp_path) as module:
        program = compile_agent(module.program).program
    assert "notes.append(clean(given[0]))" in [each.code for each in program.body.nodes]
