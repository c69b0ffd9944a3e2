"""The text form of the IR, read back.

The grammar, one line each; regions are nested by two columns:

    program NAME(PARAMS) [named (NAMES)]
    KIND SITE: [RESULTS =] (OPERANDS) EFFECT [after SITES] [calls NAME] [{KEY: JSON, ...}] [hash HASH]
    | CODE
    REGION(PARAMS):
    yield RESULTS

A name with blanks or punctuation in it stands in quotes, as in JSON. Blank lines
between lines count for nothing. An error is a `CompileError` with line and column.
"""

from __future__ import annotations

import json
from typing import Any, NoReturn

from .calls import Effect
from .errors import CompileError
from .ir import Kind, Module, Node, Program, Region, base
from .serialise import checked, guarded
from .text import REGION_NAMES, WORD, region_name

STEP = 2
"""Columns by which what belongs to a line is indented."""

_HEAD = "program"
_decode = json.JSONDecoder(parse_constant=lambda text: _not_json(text)).raw_decode


def parse_module(text: str) -> Module:
    """The module that a text holds; without source positions.

    Raises:
        CompileError: it holds none; the message has line and column.
    """
    return guarded(lambda: _Parser(text).module())


class _Line:
    """One line and how far it is read."""

    def __init__(self, number: int, text: str) -> None:
        self.number = number
        self.text = text
        self.at = self.indent = len(text) - len(text.lstrip(" "))

    def fail(self, problem: str) -> NoReturn:
        quoted = f"\n    {self.text}\n    {' ' * self.at}^" if len(self.text) <= 200 else ""
        raise CompileError(
            f"This is no IR of AgentVM: line {self.number}, column {self.at + 1}: {problem}.{quoted}\n"
            "Mend the line, or print the text again: agentvm compile FILE:AGENT"
        )

    def blanks(self) -> None:
        while self.text[self.at : self.at + 1] == " ":
            self.at += 1

    def takes(self, token: str) -> bool:
        """Read the token if it stands here."""
        self.blanks()
        end = self.at + len(token)
        found = self.text.startswith(token, self.at)
        if found and token[-1].isalpha() and self.text[end : end + 1].strip(" ({"):
            found = False  # the beginning of a longer word
        if found:
            self.at = end
        return found

    def expect(self, token: str, why: str) -> None:
        if not self.takes(token):
            self.fail(f"`{token}` is needed {why}")

    def word(self, what: str) -> str:
        """A name, in quotes or not."""
        self.blanks()
        if self.text[self.at : self.at + 1] == '"':
            value = self.json(what)
            assert isinstance(value, str)
            return value
        match = WORD.match(self.text, self.at)
        if match is None or match.end() == self.at:
            self.fail(f"{what} is needed")
        self.at = match.end()
        return match.group()

    def words(self, what: str, end: str = "") -> tuple[str, ...]:
        """Names parted by commas, up to the end token (which is read) or for as long as commas follow."""
        found: list[str] = []
        if end and self.takes(end):
            return ()
        while True:
            found.append(self.word(what))
            if not self.takes(","):
                break
        if end:
            self.expect(end, f"after {what}")
        return tuple(found)

    def json(self, what: str) -> Any:
        self.blanks()
        try:
            value, self.at = _decode(self.text, self.at)
        except ValueError as error:
            problem = error.msg if isinstance(error, json.JSONDecodeError) else str(error)
            self.at = error.pos if isinstance(error, json.JSONDecodeError) else self.at
            self.fail(f"{what} is not JSON: {problem}")
        return value

    def done(self) -> None:
        self.blanks()
        if self.at < len(self.text):
            self.fail("the line should end here")


class _Parser:
    def __init__(self, text: str) -> None:
        lines = text.split("\n")
        self.lines = [_Line(number, each) for number, each in enumerate(lines, 1) if each.strip()]
        self.index = 0
        self.length = len(lines)

    def peek(self) -> _Line | None:
        return self.lines[self.index] if self.index < len(self.lines) else None

    def next(self, indent: int, what: str) -> _Line:
        """The next line, which must stand at that indentation."""
        line = self.peek()
        if line is None:
            raise CompileError(
                f"This is no IR of AgentVM: line {self.length}, column 1: "
                f"the text ends where {what} is needed. Print it again: agentvm compile FILE:AGENT"
            )
        if line.indent != indent:
            line.fail(f"{what} is needed here, indented by {indent} columns, not {line.indent}")
        self.index += 1
        return line

    def module(self) -> Module:
        programs = [self.program()]
        while self.peek() is not None:
            programs.append(self.program())
        return checked(Module(tuple(programs)), "the text")

    def program(self) -> Program:
        line = self.next(0, "a program")
        line.expect(_HEAD, "where a program begins")
        name = line.word("the program's name")
        line.expect("(", "after the program's name")
        values = line.words("a parameter", ")")
        names = tuple(base(each) for each in values)
        if line.takes("named"):
            line.expect("(", "before the names")
            names = line.words("a name", ")")
        line.done()
        return Program(name, names, self.region(values, STEP))

    def region(self, params: tuple[str, ...], indent: int) -> Region:
        nodes: list[Node] = []
        while True:
            line = self.next(indent, "a node or `yield`")
            if line.takes("yield"):
                line.blanks()
                results = line.words("a value") if line.at < len(line.text) else ()
                line.done()
                return Region(params, tuple(nodes), results)
            nodes.append(self.node(line))

    def node(self, line: _Line) -> Node:
        kind = self.kind(line)
        site = line.word("the node's site")
        line.expect(":", "after the node's site")
        results: tuple[str, ...] = ()
        if not line.takes("("):
            results = line.words("a result")
            line.expect("=", "after the results")
            line.expect("(", "before the operands")
        operands = line.words("an operand", ")")
        effect = self.effect(line)
        after = line.words("a site") if line.takes("after") else ()
        attrs: dict[str, Any] = {}
        if line.takes("calls"):
            attrs["callee"] = line.word("what is called")
        if line.takes("{"):
            self.attrs(line, attrs)
        code_hash = line.word("the hash") if line.takes("hash") else ""
        line.done()
        code = self.code(line.indent + STEP)
        regions = self.regions(kind, line.indent + STEP)
        return Node(kind, site, operands, results, code, effect, attrs, regions, after, code_hash)

    def kind(self, line: _Line) -> Kind:
        start = line.at
        name = line.word("the kind of a node")
        if name not in set(Kind):
            line.at = start
            line.fail(f"{name!r:.60} is no kind of node: {', '.join(Kind)}")
        return Kind(name)

    def effect(self, line: _Line) -> Effect:
        line.blanks()
        start = line.at
        name = line.word("the effect")
        if name not in set(Effect):
            line.at = start
            line.fail(f"{name!r:.60} is no effect: {', '.join(Effect)}")
        return Effect(name)

    def attrs(self, line: _Line, found: dict[str, Any]) -> None:
        while True:
            key = line.word("an attribute")
            if key in found:
                line.fail(f"the attribute {key!r:.60} stands twice")
            line.expect(":", "after the attribute's name")
            found[key] = line.json("the attribute's value")
            if not line.takes(","):
                break
        line.expect("}", "after the attributes")

    def code(self, indent: int) -> str:
        found: list[str] = []
        while (line := self.peek()) is not None and line.indent == indent and line.text[indent] == "|":
            rest = line.text[indent + 1 :]
            found.append(rest.removeprefix(" "))
            self.index += 1
        return "\n".join(found)

    def regions(self, kind: Kind, indent: int) -> tuple[Region, ...]:
        found: list[Region] = []
        while (line := self.peek()) is not None and line.indent == indent:
            self.index += 1
            name = line.word("a region's name")
            wanted = region_name(kind, len(found))
            if name != wanted:
                line.at = line.indent
                known = ", ".join(REGION_NAMES.get(kind, ())) or "none"
                line.fail(f"`{wanted}` is needed, not {name!r:.60} (regions of `{kind}`: {known})")
            line.expect("(", "after the region's name")
            params = line.words("a parameter", ")")
            line.expect(":", "after the region's parameters")
            line.done()
            found.append(self.region(params, indent + STEP))
        return tuple(found)


def _not_json(text: str) -> NoReturn:
    raise ValueError(f"{text} is not JSON")
