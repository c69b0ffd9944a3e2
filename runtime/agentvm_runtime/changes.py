"""What an edit changed in a program, and which of its nodes are still the same ones.

Sites are numbered within their function, so a call inserted before others
renumbers them. Results are recorded by site: a run that goes on with edited
code therefore keeps the names it began with. *Names* map the sites of the
program as it is now to those that the run knows them by.
"""

from __future__ import annotations

import ast
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from difflib import SequenceMatcher
from pathlib import PurePath

from agentvm_compiler.ir import Kind, Module, Node, Program, Region, base, content_hash
from agentvm_compiler.parsing import parse

Names = Mapping[str, Mapping[str, str]]
"""By program: site now -> name in the run, where the two differ."""


@dataclass(frozen=True, slots=True)
class Change:
    """One node that is not what it was."""

    program: str
    name: str
    """The node's name in the run."""
    what: str
    """For people: `prompt of 'draft' changed`."""
    where: str
    """`file.py:LINE` of the code as it is now; of a node that is gone, as it was."""

    def __str__(self) -> str:
        return f"{self.what} at {self.where}"


@dataclass(frozen=True, slots=True)
class Comparison:
    """A program before and after an edit."""

    names: Names = field(default_factory=dict)
    changed: tuple[Change, ...] = ()
    """Nodes that do something else now, and new ones."""
    gone: tuple[Change, ...] = ()
    """Nodes that the program no longer has."""


def compare(old: Module, new: Module, names: Names) -> Comparison:
    """Find the nodes of a program again after an edit.

    Args:
        names: of the old program.
    """
    before = {each.name: each for each in old.programs}
    found: dict[str, dict[str, str]] = {}
    changed: list[Change] = []
    gone: list[Change] = []
    for number, program in enumerate(new.programs):
        ancestor = old.main if number == 0 else before.get(program.name)
        if ancestor is None:
            continue
        known = names.get(ancestor.name, {})
        pairs = _pairs(ancestor, program)
        mine = _names(ancestor, program, pairs, known)
        found[program.name] = {site: name for site, name in mine.items() if site != name}
        changed += _changed(program, pairs, mine)
        left = {each.site for each in pairs.values()}
        gone += [
            Change(
                ancestor.name,
                known.get(node.site, node.site),
                f"{title(node)} is gone",
                place(ancestor, node),
            )
            for node in ancestor.body.walk()
            if node.site not in left
        ]
    return Comparison({key: value for key, value in found.items() if value}, tuple(changed), tuple(gone))


def label(site: str) -> str:
    """`llm#2` -> `llm`."""
    return site.rpartition("#")[0]


def place(program: Program, node: Node) -> str:
    return f"{PurePath(program.file).name or program.name}:{node.span.line}"


def variables(node: Node) -> list[str]:
    """The names of the source that a node gives values to."""
    return [each for each in dict.fromkeys(map(base, node.results)) if not each.startswith("_")]


def settable(node: Node) -> list[int]:
    """The results of a node that a fork may set, by position: all but how a block was left."""
    if not node.regions:
        return list(range(len(node.results)))
    return [n for n, each in enumerate(node.results) if base(each) not in ("_exit", "_value")]


def title(node: Node) -> str:
    """How people call a node: by the variable it is assigned to, else by what it does."""
    names = ", ".join(f"'{each}'" for each in variables(node))
    if node.kind in (Kind.TOOL, Kind.AGENT):
        return f"{node.kind} '{label(node.site)}'"
    return names or f"{node.kind} {node.site}"


def _pairs(old: Program, new: Program) -> dict[str, Node]:
    """The nodes that correspond: site now -> node as it was.

    Among nodes of one label, in program order: first those that are equal, then
    those that stand at the same place between equal ones.
    """
    before, after = _by_label(old.body), _by_label(new.body)
    pairs: dict[str, Node] = {}
    for kind, nodes in after.items():
        others = before.get(kind, [])
        a, b = [_content(each) for each in others], [_content(each) for each in nodes]
        for _, i, i_end, j, j_end in SequenceMatcher(None, a, b, autojunk=False).get_opcodes():
            for one, other in zip(others[i:i_end], nodes[j:j_end], strict=False):
                pairs[other.site] = one
    return pairs


def _by_label(region: Region) -> dict[str, list[Node]]:
    found: dict[str, list[Node]] = {}
    for node in region.walk():
        found.setdefault(label(node.site), []).append(node)
    return found


def _content(node: Node) -> str:
    """Hash of what a node does, with all that is in it."""
    inner = [[_content(each) for each in region.nodes] for region in node.regions]
    return content_hash([node.kind, label(node.site), node.code_hash, inner])


def _names(old: Program, new: Program, pairs: Mapping[str, Node], known: Mapping[str, str]) -> dict[str, str]:
    """Every node's name in the run; a new node never takes one that was in use."""
    taken = {known.get(node.site, node.site) for node in old.body.walk()} | set(known.values())
    names: dict[str, str] = {}
    for node in new.body.walk():
        if node.site in pairs:
            was = pairs[node.site].site
            names[node.site] = known.get(was, was)
            continue
        name, number = node.site, 1
        while name in taken:
            number += 1
            name = f"{node.site}.{number}"
        taken.add(name)
        names[node.site] = name
    return names


def _changed(new: Program, pairs: Mapping[str, Node], names: Mapping[str, str]) -> Iterator[Change]:
    for node in new.body.walk():
        old = pairs.get(node.site)
        what = f"{title(node)} is new" if old is None else _difference(old, node)
        if what:
            yield Change(new.name, names[node.site], what, place(new, node))


def _difference(old: Node, new: Node) -> str:
    """What changed, for people; empty if nothing did, or what did is told of elsewhere."""
    if old.code_hash == new.code_hash:
        return ""
    if old.code == new.code:
        if new.kind is Kind.AGENT or new.regions:
            return ""  # the nodes within say what
        if new.kind is Kind.TOOL:
            return f"code of {title(new)} changed"
        return f"code used by {title(new)} changed"
    if new.kind is Kind.LLM:
        one, other = _prompt(old.code), _prompt(new.code)
        return f"{'options' if one == other else 'prompt'} of {title(new)} changed"
    if new.kind in (Kind.TOOL, Kind.AGENT):
        return f"arguments of {title(new)} changed"
    return f"{title(new)} changed"


def _prompt(code: str) -> str:
    """The first argument of a call."""
    try:
        call = parse(code, mode="eval").body
    except SyntaxError:
        return code
    if isinstance(call, ast.Await):
        call = call.value
    if not isinstance(call, ast.Call):
        return code
    first = [*call.args[:1], *(each.value for each in call.keywords if each.arg in ("prompt", "messages"))]
    return ";".join(map(ast.unparse, first))
