"""Code hashes: an edit changes those of the nodes that depend on it, and no others."""

from __future__ import annotations

import importlib.util
import itertools
import sys
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path

import pytest

from agentvm_compiler.compile import compile_agent
from agentvm_compiler.frontend.fingerprint import fingerprint

SOURCE = '''\
"""A module."""

from dataclasses import dataclass

from agentvm import agent, llm, tool

LIMIT = 10
STYLE = ("short", 2)


@dataclass
class Note:
    text: str

    @property
    def length(self):
        return _measured(self.text)


def _measured(text):
    return len(text)


def trimmed(text):
    """Cut a text."""
    return _cut(text, LIMIT)


def _cut(text, limit):
    return text[:limit]


def unrelated(text):
    return text


@tool(effect="read")
async def search(query):
    return _found(query)


def _found(query):
    return [query]


@agent
async def summary(text):
    """Sum up."""
    return await llm(f"Sum up {text}")


@agent
async def work(topic):
    """The agent's docstring."""
    first = await llm(f"List {topic} {STYLE}")
    hits = await search(first)
    short = trimmed(first)
    note = Note(short)
    for hit in hits:
        await llm(f"Rate {hit}")
    ending = await summary(short)
    return [note, ending]
'''
ALL = {"llm#1", "search#1", "=short#1", "=note#1", "llm#2", "summary#1", "for#1", "return#1"}
EDITS = {
    "a comment": ("    hits =", "    # look\n    hits =", set()),
    "blank lines": ("    note =", "\n\n    note =", set()),
    "another layout": ("Note(short)", "Note(\n        short,\n    )", set()),
    "the module's docstring": ('"""A module."""', '"""Another."""', set()),
    "the agent's docstring": ("The agent's docstring.", "What it does.", set()),
    "a helper's docstring": ("Cut a text.", "Shorten a text.", set()),
    "a called agent's docstring": ("Sum up.", "Says it shortly.", set()),
    "an unrelated function": ("    return text\n", "    return text * 2\n", set()),
    "a new function": ("def unrelated", "def more():\n    return 1\n\n\ndef unrelated", set()),
    "the first prompt": ("List {topic}", "Name {topic}", {"llm#1"}),
    "the prompt in the loop": ("Rate {hit}", "Grade {hit}", {"llm#2"}),
    "a sampling option": ("{STYLE}\")", "{STYLE}\", max_tokens=5)", {"llm#1"}),
    "a constant of a prompt": ('STYLE = ("short", 2)', 'STYLE = ("long", 2)', {"llm#1"}),
    "a constant of a helper": ("LIMIT = 10", "LIMIT = 11", {"=short#1"}),
    "a helper": ("_cut(text, LIMIT)", "_cut(text + '.', LIMIT)", {"=short#1"}),
    "a helper's helper": ("text[:limit]", "text[limit:]", {"=short#1"}),
    "a helper of a class's method": ("return len(text)", "return len(text) + 1", {"=note#1"}),
    "a class": ("    text: str\n", "    text: str\n    more: int = 0\n", {"=note#1"}),
    "a tool": ("return _found(query)", "return _found(query) * 2", {"search#1"}),
    "a tool's helper": ("return [query]", "return [query, query]", {"search#1"}),
    "a tool's effect": ('effect="read"', 'effect="pure"', {"search#1"}),
    "a called agent": ("Sum up {text}", "Recap {text}", {"summary#1"}),
    "the returned value": ("[note, ending]", "[ending, note]", {"return#1"}),
}  # fmt: skip

_numbers = itertools.count()


@pytest.fixture
def hashes(tmp_path: Path) -> Iterator[Callable[[str], dict[str, str]]]:
    """Code hashes by site of `work`, for the source of a module. Each source is a module of the same name."""
    name = f"agentvm_test_code_hash_{next(_numbers)}"

    def compiled(source: str) -> dict[str, str]:
        file = tmp_path / str(next(_numbers)) / "work.py"
        file.parent.mkdir()
        file.write_text(source)
        spec = importlib.util.spec_from_file_location(name, file)
        assert spec is not None and spec.loader is not None
        module = importlib.util.module_from_spec(spec)
        sys.modules[name] = module
        spec.loader.exec_module(module)
        program = compile_agent(module.work).program
        return {node.site: node.code_hash for node in program.body.walk()}

    yield compiled
    sys.modules.pop(name, None)


def test_hashes_are_the_same_each_time(hashes):
    """The same source gives the same sites and hashes."""
    assert hashes(SOURCE) == hashes(SOURCE)
    assert set(hashes(SOURCE)) == ALL


@pytest.mark.parametrize("edit", EDITS)
def test_an_edit_changes_what_depends_on_it(hashes, edit):
    """Exactly the nodes that run edited code, directly or through helpers, get another hash."""
    old, new, expected = EDITS[edit]
    assert SOURCE.count(old) == 1
    before, after = hashes(SOURCE), hashes(SOURCE.replace(old, new))
    assert {site for site in before if before[site] != after.get(site)} == expected


def test_a_new_call_before_leaves_other_kinds_of_site_alone(hashes):
    """Sites are numbered among their like, so inserting a tool call renames no model call."""
    added = SOURCE.replace("    first =", "    await search('before')\n    first =")
    before, after = hashes(SOURCE), hashes(added)
    assert {site for site in before if before[site] != after.get(site)} == {"search#1"}
    assert after["search#2"] == before["search#1"]


RECURSIVE = """\
def even(number):
    return number == 0 or odd(number - 1)


def odd(number):
    return number != 0 and even(number - 1)


def down(number):
    return number and down(number - 1)


TABLE = (even, down)


def looked_up(number):
    return TABLE[number](3)
"""
NAMES = ("even", "odd", "down", "looked_up")


@pytest.fixture
def fingerprints(tmp_path: Path) -> Callable[[str, Sequence[str]], dict[str, str]]:
    """Fingerprints of the functions of a module, asked for in some order, each twice."""

    def asked(source: str, order: Sequence[str]) -> dict[str, str]:
        file = tmp_path / str(next(_numbers)) / "recursive.py"
        file.parent.mkdir()
        file.write_text(source)
        spec = importlib.util.spec_from_file_location("recursive", file)
        assert spec is not None and spec.loader is not None
        module = importlib.util.module_from_spec(spec)
        spec.loader.exec_module(module)
        found = {name: fingerprint(getattr(module, name)) for name in order}
        assert {name: fingerprint(getattr(module, name)) for name in order} == found
        return {name: found[name] for name in NAMES}

    return asked


def test_functions_that_call_each_other_have_one_hash_each(fingerprints):
    """Whichever is asked first."""
    orders = itertools.permutations(NAMES)
    found = [fingerprints(RECURSIVE, order) for order in orders]
    assert all(each == found[0] for each in found)
    assert len(set(found[0].values())) == len(NAMES)


@pytest.mark.parametrize(
    ("old", "new", "changed"),
    [
        ("number == 0", "number <= 0", {"even", "odd", "looked_up"}),
        ("number != 0", "number > 0", {"even", "odd", "looked_up"}),
        ("number and down", "number or down", {"down", "looked_up"}),
        ("(3)", "(4)", {"looked_up"}),
    ],
)
def test_an_edit_of_a_recursive_function_is_seen(fingerprints, old, new, changed):
    """In its own hash, and in those of all that reach it."""
    before, after = fingerprints(RECURSIVE, NAMES), fingerprints(RECURSIVE.replace(old, new), NAMES)
    assert {name for name in NAMES if before[name] != after[name]} == changed


WRAPPED = """\
import contextlib
import functools


@functools.cache
def even(number):
    return number % 2 == 0


@contextlib.contextmanager
def odd(number):
    yield number % 2 == 1


def down(number):
    with odd(number) as found:
        return found


def looked_up(number):
    return number
"""


@pytest.mark.parametrize(
    ("old", "new", "changed"),
    [("% 2 == 0", "% 4 == 0", {"even"}), ("% 2 == 1", "% 4 == 1", {"odd", "down"})],
)
def test_an_edit_within_a_librarys_decorator_is_seen(fingerprints, old, new, changed):
    """What stands for the function is the library's, but what it does is the user's."""
    before, after = fingerprints(WRAPPED, NAMES), fingerprints(WRAPPED.replace(old, new), NAMES)
    assert {name for name in NAMES if before[name] != after[name]} == changed
