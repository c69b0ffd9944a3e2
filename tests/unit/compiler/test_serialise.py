"""The IR as text and as JSON: what is written is read back; anything else is a clear error."""

from __future__ import annotations

import importlib
import importlib.resources
import json
import pkgutil
import random
import re
import textwrap
from collections.abc import Callable, Iterator
from functools import cache
from pathlib import Path
from typing import Any

import jsonschema
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import tests.programs
from agentvm_compiler.calls import Agent
from agentvm_compiler.compile import compile_agent
from agentvm_compiler.errors import CompileError
from agentvm_compiler.ir import Kind, Module, Node, Program, Region
from tests.unit.compiler.programs import AGENTS


def _agents() -> Iterator[Agent]:
    yield from AGENTS
    for found in pkgutil.iter_modules(tests.programs.__path__, "tests.programs."):
        module = importlib.import_module(found.name)
        yield from (each for each in vars(module).values() if isinstance(each, Agent))


EVERY = [pytest.param(each, id=each.ref) for each in _agents()]


@pytest.mark.parametrize("agent", EVERY)
def test_json_round_trip(agent):
    """A module read from its JSON is written as the same JSON, and has the same hash."""
    module = compile_agent(agent).module
    again = Module.from_json(module.to_json())
    assert (again.to_json(), again.hash) == (module.to_json(), module.hash)


@pytest.mark.parametrize("agent", EVERY)
def test_text_round_trip(agent):
    """A module parsed from its text is printed as the same text, and has the same hash."""
    module = compile_agent(agent).module
    again = Module.from_text(module.to_text())
    assert (again.to_text(), again.hash) == (module.to_text(), module.hash)


@pytest.mark.parametrize("agent", EVERY)
def test_modules_fit_the_schema(agent):
    """What is emitted is valid by the JSON Schema that the package ships."""
    schema = importlib.resources.files("agentvm_compiler").joinpath("ir.schema.json").read_text()
    jsonschema.Draft202012Validator(json.loads(schema)).validate(
        json.loads(compile_agent(agent).module.to_json())
    )


def test_odd_names_survive():
    """Names with blanks, quotes, colons and line ends, and code with blank lines, come back from text."""
    names = ["a tool#1", 'say "x"#1', "a: b#1", "x\ny#1", "é#1", "a,b#1", "(#1", "|#1", "==#1", "{#1", " #1"]
    nodes = tuple(
        Node(
            Kind.PYTHON, each, ("q.0",), (), "x = 1\n\n  y\n", attrs={"a b": [1, {"c": None}], "callee": each}
        )
        for each in names
    )
    module = Module((Program("m:f.<locals>.g", ("p",), Region(("q.0",), nodes, ("q.0",))),))
    assert Module.from_text(module.to_text()).hash == module.hash


@cache
def sample() -> Module:
    """A module with every kind of region in it."""
    return compile_agent(next(each for each in AGENTS if each.name == "branch")).module


def changed(change: Callable[[Any], object]) -> str:
    """The sample as JSON after a change to the document."""
    document = json.loads(sample().to_json())
    change(document)
    return json.dumps(document)


def with_node(**fields: Any) -> str:
    """The sample as JSON with other fields in its first node."""
    return changed(lambda document: document["programs"][0]["body"]["nodes"][0].update(fields))


NODE = "$.programs[0].body.nodes[0]"


MALFORMED = {
    "not JSON: Expecting value at line 1, column 1": "",
    "Expecting ',' delimiter at line 1, column 13": '{"format": 1',
    "$: an object is needed, not an array": "[]",
    "$: the key 'format' is missing": "{}",
    '$.format: a whole number, not negative, is needed, not "1"': changed(lambda d: d.update(format="1")),
    "$.format: this is format 99, made by a newer AgentVM": changed(lambda d: d.update(format=99)),
    "$: the key 'programs' is missing": changed(lambda d: d.pop("programs")),
    '$: there is no such key as "more"': changed(lambda d: d.update(more=1)),
    "$.programs: a module holds one program at least": changed(lambda d: d.update(programs=[])),
    "the program tests.unit.compiler.programs:branch stands twice": changed(
        lambda d: d["programs"].append(d["programs"][0])
    ),
    NODE + '.kind: "call" is none of llm, tool': with_node(kind="call"),
    NODE + ".kind: an array is none of": with_node(kind=["llm"]),
    NODE + ".operands[0]: a string is needed, not 1": with_node(operands=[1]),
    NODE + ".span: four numbers are needed, not 1": with_node(span=[1]),
    NODE + ".span[0]: a whole number": with_node(span=[True, 0, 0, 0]),
    "$.programs: llm#1 reads nowhere.0 before it is defined": with_node(operands=["nowhere.0"]),
    "$.hash: the hash is": with_node(code="llm('other')"),
    "NaN is not JSON": '{"format": NaN}',
    'the key "a" stands twice': '{"a": 1, "a": 2}',
    "nested too deep": "[" * 100_000,
    "not JSON as AgentVM writes it": '{"format": 1' + "0" * 5000 + "}",
}  # fmt: skip


@pytest.mark.parametrize("problem", MALFORMED)
def test_malformed_json_is_refused(problem):
    """The error says what is wrong, where, and what to do."""
    with pytest.raises(CompileError) as caught:
        Module.from_json(MALFORMED[problem])
    assert problem in str(caught.value)
    assert "ompile the agent again" in str(caught.value)


GOOD = "program m:f(x.0)\n  llm llm#1: y.0 = (x.0) pure calls agentvm:llm\n    | llm(x)\n  yield y.0\n"
BROKEN = {
    "line 1, column 1: the text ends where a program is needed": "",
    "line 1, column 1: `program` is needed": GOOD.replace("program", "prog"),
    "line 1, column 12: `(` is needed": GOOD.replace("(x.0)\n  llm", "\n  llm"),
    "line 2, column 3: 'lln' is no kind of node": GOOD.replace("  llm llm", "  lln llm"),
    "line 2, column 26: 'pur' is no effect": GOOD.replace("pure", "pur"),
    "line 2, column 49: the line should end here": GOOD.replace("agentvm:llm", "agentvm:llm now"),
    "line 2, column 53: the attribute's value is not JSON": GOOD.replace(
        "agentvm:llm", "agentvm:llm {a: tru}"
    ),
    "line 2, column 6: a node or `yield` is needed here": GOOD.replace("  llm llm", "     llm llm"),
    "line 5, column 1: the text ends where a node or `yield`": GOOD.replace("  yield y.0\n", "\n"),
    "llm#1 reads q.0 before it is defined": GOOD.replace("(x.0) pure", "(q.0) pure"),
    "`region` is needed, not 'body'": GOOD.replace("    | llm(x)\n", "    body(x.0):\n      yield x.0\n"),
}


def test_the_example_is_good():
    """What the broken texts are made from parses."""
    assert Module.from_text(GOOD).main.body.nodes[0].code == "llm(x)"


@pytest.mark.parametrize("problem", BROKEN)
def test_malformed_text_is_refused(problem):
    """The error says what is wrong, with line and column."""
    with pytest.raises(CompileError) as caught:
        Module.from_text(BROKEN[problem])
    assert problem in str(caught.value)


# -- fuzzing ---------------------------------------------------------------------------


def spoilt(text: str, seed: int) -> str:
    """The text after a few random edits: pieces lost, doubled, swapped, replaced."""
    draws = random.Random(seed)
    for _ in range(draws.randrange(1, 5)):
        start = draws.randrange(len(text) + 1)
        end = min(len(text), start + draws.choice((0, 1, 1, 2, 8, 60)))
        piece = draws.choice(
            ("", text[start:end] * 2, *'{}[]":,|()= \n\\0', "null", "-1", "1e999", "\x00", "\ud800", "x")
        )
        text = text[:start] + piece + text[end:]
    return text


def assert_read_or_refused(read: Callable[[str], Module], write: Callable[[Module], str], text: str) -> None:
    """Whatever the text is, it is a module that survives its own round trip, or a `CompileError`."""
    try:
        module = read(text)
    except CompileError as error:
        assert len(str(error)) > 20
        return
    assert read(write(module)).hash == module.hash


FUZZ = settings(max_examples=300, deadline=None)
SEEDS = st.integers(0, 2**32)
MODULES = st.sampled_from([compile_agent(each).module for each in AGENTS])
JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=9),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(max_size=9), inner, max_size=4),
    max_leaves=20,
)


@FUZZ
@given(MODULES, SEEDS)
def test_fuzz_spoilt_json(module, seed):
    """Random edits of valid JSON give a module or a clear error."""
    assert_read_or_refused(Module.from_json, Module.to_json, spoilt(module.to_json(), seed))


@FUZZ
@given(MODULES, SEEDS, JSON)
def test_fuzz_spoilt_documents(module, seed, value):
    """So does any value in the place of any other, with a hash that fits or not."""
    document = json.loads(module.to_json())
    draws, at = random.Random(seed), document
    while True:
        places = list(at) if isinstance(at, dict) else list(range(len(at)))
        place = draws.choice(places)
        if not isinstance(at[place], dict | list) or not at[place] or draws.random() < 0.1:
            break
        at = at[place]
    at[place] = value
    assert_read_or_refused(Module.from_json, Module.to_json, json.dumps(document))


@FUZZ
@given(MODULES, SEEDS)
def test_fuzz_spoilt_text(module, seed):
    """Random edits of a valid text give a module or a clear error."""
    assert_read_or_refused(Module.from_text, Module.to_text, spoilt(module.to_text(), seed))


@FUZZ
@given(st.text() | st.text(alphabet='program() yield.0#1:=|{}\n ,"'))
def test_fuzz_any_text(text):
    """Any text at all gives a module or a clear error, as text and as JSON."""
    assert_read_or_refused(Module.from_text, Module.to_text, text)
    assert_read_or_refused(Module.from_json, Module.to_json, text)


def test_the_examples_of_the_reference_parse():
    """Every program that `docs/ir.md` shows as text is well formed, and printed as it stands there."""
    text = (Path(__file__).parents[3] / "docs" / "ir.md").read_text()
    shown = re.findall(r"^    program .*\n(?:    .*\n)+", text, re.MULTILINE)
    assert len(shown) >= 3
    for each in map(textwrap.dedent, shown):
        assert Module.from_text(each).to_text(hashes=False) == each
