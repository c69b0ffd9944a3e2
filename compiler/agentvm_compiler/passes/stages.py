"""Stages: what remains of a program after a model call, on its critical path.

A *stage* is a set of model calls that can be made at the same time, since none
of them waits for another. The forecast of a call is the list of stages that wait
for it, directly or not: its length is what remains of the critical path.

An analysis, not a pass: a pure function of a program and a *profile*, what
earlier runs tell of branches, loops, maps and lengths. What the profile does not
say comes from the program (`range(3)`, `max_tokens=50`), or else from the
profile's own defaults. Of a branch the likelier side counts, of two equally
likely ones the longer.
"""

from __future__ import annotations

import ast
import math
from collections import OrderedDict
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import TypeVar

from agentvm_compiler.ir import Kind, Node, Program, Region, base
from agentvm_compiler.wire import Stage

from .parsed import assigned, call_of, options, statements

UNFOLDED = 64
"""Forecasts kept of programs of which more is known than the profile tells."""
LONGEST = 64
"""Most stages of a forecast; what comes later decides nothing now."""


@dataclass(frozen=True, slots=True)
class SiteProfile:
    """What earlier runs tell of one site; None where they do not."""

    taken: float | None = None
    """Probability that a branch goes to its first side."""
    times: float | None = None
    """Iterations of a loop, or elements of a map."""
    input_tokens: int | None = None
    output_tokens: int | None = None
    output_tokens_upper: int | None = None
    """Upper quantile of the output tokens of one call."""
    tool_seconds: float | None = None


@dataclass(frozen=True, slots=True)
class Profile:
    """What earlier runs tell of a program and those it calls."""

    sites: Mapping[str, SiteProfile] = field(default_factory=dict)
    """By `AGENT.SITE`, as in `Hints.site`."""
    taken: float = 0.5
    times: float = 3
    input_tokens: int = 256
    output_tokens: int = 128
    output_tokens_upper: int = 512
    tool_seconds: float = 0.0


DEFAULT = Profile()
EXIT = "$exit"
T = TypeVar("T")
Programs = Callable[[str], Program | None]
"""Finds the program of a called agent by the call's `callee`."""


def forecast(
    program: Program,
    site: str,
    profile: Profile = DEFAULT,
    *,
    done: Mapping[str, int] | None = None,
    programs: Programs = lambda _: None,
) -> tuple[Stage, ...]:
    """The stages that wait for the node at a site, the next one first.

    Args:
        done: iterations before the present one, by site of the loop.
        programs: the programs of called agents; one that is not known counts as one call.

    Raises:
        KeyError: the program has no such site.
    """
    return Forecaster(profile, programs).after(program, site, done or {})


def critical_path(
    program: Program, profile: Profile = DEFAULT, *, programs: Programs = lambda _: None
) -> tuple[Stage, ...]:
    """The stages of the whole program."""
    return _Forecast(program, profile, programs).region(program.body)


class Forecaster:
    """Forecasts for many calls under one profile; what they have in common is found once.

    Args: as for `forecast`.
    """

    def __init__(self, profile: Profile = DEFAULT, programs: Programs = lambda _: None) -> None:
        self._profile = profile
        self._programs = programs
        self._known: dict[str, _Forecast] = {}
        self._unfolded: OrderedDict[tuple[str, frozenset[tuple[str, SiteProfile]]], _Forecast] = OrderedDict()

    def after(
        self,
        program: Program,
        site: str,
        done: Mapping[str, int],
        unfolded: Mapping[str, SiteProfile] | None = None,
    ) -> tuple[Stage, ...]:
        """The stages that wait for the node at a site; see `forecast`.

        Args:
            unfolded: by site, what is known of branches, loops and maps that are under way.
        """
        found = self._forecast(program, unfolded or {}).after(program.body, site, done)
        if found is None:
            raise KeyError(site)
        return found

    def _forecast(self, program: Program, unfolded: Mapping[str, SiteProfile]) -> _Forecast:
        usual = self._known.get(program.name)
        if usual is None:
            usual = self._known[program.name] = _Forecast(program, self._profile, self._programs)
        different = {site: known for site, known in unfolded.items() if usual.expects_other(site, known)}
        if not different:
            return usual
        key = (program.name, frozenset(different.items()))
        if key in self._unfolded:
            self._unfolded.move_to_end(key)
            return self._unfolded[key]
        sites = {f"{usual.name}.{site}": known for site, known in different.items()}
        profile = replace(self._profile, sites={**self._profile.sites, **sites})
        self._unfolded[key] = made = _Forecast(program, profile, self._programs, usual=usual)
        if len(self._unfolded) > UNFOLDED:
            self._unfolded.popitem(last=False)
        return made


def summarised(stages: Sequence[Stage], most: int = 8) -> tuple[Stage, ...]:
    """The same in at most so many entries: equal neighbours together, what comes late as its mean."""
    entries: list[Stage] = []
    for each in stages:
        if entries and entries[-1].model_copy(update={"times": each.times}) == each:
            each = each.model_copy(update={"times": entries.pop().times + each.times})
        entries.append(each)
    return (*entries[: most - 1], _mean(entries[most - 1 :])) if len(entries) > most else tuple(entries)


def _mean(stages: Sequence[Stage]) -> Stage:
    """So many stages as one that comes so many times; what is in them adds up to the same."""
    times = sum(each.times for each in stages)

    def mean(amount: Callable[[Stage], float]) -> float:
        return sum(amount(each) * each.times for each in stages) / times

    return Stage(
        times=times,
        calls=math.ceil(mean(lambda each: each.calls)),
        input_tokens=round(mean(lambda each: each.input_tokens)),
        output_tokens=round(mean(lambda each: each.output_tokens)),
        output_tokens_upper=round(mean(lambda each: each.output_tokens_upper)),
        tool_seconds=mean(lambda each: each.tool_seconds),
    )


def chains(program: Program) -> dict[str, tuple[str, ...]]:
    """By site, the loops that go round by round, and for what of the round before their calls wait.

    It is the names of carried values, or `EXIT` if an answer decides whether there is another round.
    """
    found = _Forecast(program, DEFAULT, lambda _: None)
    loops = [each for each in program.body.walk() if each.kind is Kind.LOOP]
    return {each.site: names for each in loops if (names := found.chain(each))}


class _Forecast:
    def __init__(
        self,
        program: Program,
        profile: Profile,
        programs: Programs,
        callers: frozenset[str] = frozenset(),
        usual: _Forecast | None = None,
    ) -> None:
        self.name = program.name.rpartition(":")[2]
        self.profile = profile
        self.programs = programs
        self.callers = callers | {program.name}
        self._usual = usual or self
        """What is expected of later rounds of a loop, of which the present one tells nothing."""
        self._known: dict[str, tuple[Stage, ...]] = {}
        self._chains: dict[str, tuple[str, ...]] = {}
        self._holders = {node.site: node for node in program.body.walk() if node.regions}
        self.defined = {
            node.results[0]: node for node in program.body.walk() if node.kind is Kind.PYTHON and node.results
        }

    def site(self, node: Node) -> SiteProfile:
        return self.profile.sites.get(f"{self.name}.{node.site}", SiteProfile())

    def expects_other(self, site: str, known: SiteProfile) -> bool:
        """Whether what is known of a node makes its forecast another one."""
        node = self._holders.get(site)
        if node is None:
            return False
        if known.taken is not None:
            usual = _or(self.site(node).taken, self.profile.taken)
            return (known.taken > 0.5) != (usual > 0.5) or usual == 0.5
        return known.times is not None and round(known.times) != self._times(node)

    # -- regions -----------------------------------------------------------------------

    def region(self, region: Region) -> tuple[Stage, ...]:
        """The stages of one execution of the region."""
        return self._laid_out(region.nodes, region.params)[0]

    def after(self, region: Region, site: str, done: Mapping[str, int]) -> tuple[Stage, ...] | None:
        """The stages that wait for the site; None if it is not in the region."""
        for number, node in enumerate(region.nodes):
            inside = None if node.site == site else self._within(node, site, done)
            if node.site == site or inside is not None:
                rest, _ = self._laid_out(region.nodes[number + 1 :], node.results, [node.site])
                return _then(inside or (), rest)
        return None

    def _within(self, node: Node, site: str, done: Mapping[str, int]) -> tuple[Stage, ...] | None:
        """What is left of a region node after the site within it; None if it is not in there."""
        for region in node.regions:
            inside = self.after(region, site, done)
            if inside is not None:
                if node.kind is not Kind.LOOP or not self._is_chain(node):
                    return inside
                left = max(0, self._times(node) - 1 - done.get(node.site, 0))
                return _then(inside, _repeated(self._usual.region(region), left))
        return None

    def _laid_out(
        self, nodes: Sequence[Node], values: Iterable[str], sites: Iterable[str] = ()
    ) -> tuple[tuple[Stage, ...], dict[str, int]]:
        """The stages of the nodes that wait for the values or sites, and when each value is there.

        With no values and sites at all, or a region's own parameters, everything counts.
        """
        ready = dict.fromkeys(values, 0)
        ended = dict.fromkeys(sites, 0)
        everything = not ended
        layers: list[list[Stage]] = []
        for node in nodes:
            waits = [ready[each] for each in node.operands if each in ready]
            waits += [ended[each] for each in node.after if each in ended]
            if not waits and not everything:
                continue
            start = max(waits, default=0)
            own = self.node(node)
            for offset, stage in enumerate(own[: LONGEST - start] if start < LONGEST else ()):
                while len(layers) <= start + offset:
                    layers.append([])
                layers[start + offset].append(stage)
            end = start + len(own)
            ended[node.site] = end
            ready.update(dict.fromkeys(node.results, end))
        return _settled(_together(each) for each in layers), ready

    # -- nodes -------------------------------------------------------------------------

    def node(self, node: Node) -> tuple[Stage, ...]:
        """The stages of one execution of a node."""
        if node.site not in self._known:
            self._known[node.site] = self._of(node)
        return self._known[node.site]

    def _of(self, node: Node) -> tuple[Stage, ...]:
        match node.kind:
            case Kind.LLM:
                return (self._call(node),)
            case Kind.TOOL:
                seconds = _or(self.site(node).tool_seconds, self.profile.tool_seconds)
                return (Stage(calls=0, tool_seconds=seconds),) if seconds else ()
            case Kind.AGENT:
                return self._agent(node)
            case Kind.BRANCH:
                return self._branch(node)
            case Kind.LOOP:
                body = self.region(node.regions[0])
                times = self._times(node)
                return _repeated(body, times) if self._is_chain(node) else _widened(body, times)
            case Kind.MAP:
                return _widened(self.region(node.regions[0]), self._times(node))
            case Kind.TRY:
                return self.region(node.regions[0])
            case Kind.TRACED:
                return _repeated((self._call(node),), round(_or(self.site(node).times, _awaits(node))))
        return ()

    def _call(self, node: Node) -> Stage:
        known = self.site(node)
        limit = _number(node, "max_tokens")
        expected = _or(known.output_tokens, _limited(self.profile.output_tokens, limit))
        upper = _or(known.output_tokens_upper, limit or self.profile.output_tokens_upper)
        return Stage(
            input_tokens=_or(known.input_tokens, self.profile.input_tokens),
            output_tokens=expected,
            output_tokens_upper=max(expected, upper),
        )

    def _agent(self, node: Node) -> tuple[Stage, ...]:
        program = self.programs(node.attrs["callee"])
        if program is None or program.name in self.callers:
            return (self._call(node),)
        return _Forecast(program, self.profile, self.programs, self.callers).region(program.body)

    def _branch(self, node: Node) -> tuple[Stage, ...]:
        taken = _or(self.site(node).taken, self.profile.taken)
        sides = [self.region(each) for each in node.regions]
        if taken == 0.5:
            return max(sides, key=len)
        return sides[0] if taken > 0.5 else sides[1]

    def _times(self, node: Node) -> int:
        """Iterations of a loop or elements of a map, expected."""
        made = self.defined.get(node.operands[0])
        literal = _length(made) if made is not None else None
        return max(0, round(_or(self.site(node).times, self.profile.times if literal is None else literal)))

    def _is_chain(self, node: Node) -> bool:
        return bool(self.chain(node))

    def chain(self, node: Node) -> tuple[str, ...]:
        """For what of the iteration before the model calls of a loop's iteration wait.

        Names of carried values; `EXIT` where an answer decides whether there is another iteration.
        """
        if node.site not in self._chains:
            self._chains[node.site] = self._chain(node)
        return self._chains[node.site]

    def _chain(self, node: Node) -> tuple[str, ...]:
        region, count = node.regions[0], node.attrs["carried"]
        _, ready = self._laid_out(region.nodes, region.params)
        if not any(self.node(each) for each in region.nodes):
            return ()
        until = node.operands[0] == "$none" and region.results[0] == "$none"
        if until or ready.get(region.results[0], 0):
            return (EXIT,)
        given = region.results[2:]
        late = {n for n in range(count) if ready.get(given[n], 0)}
        reads = self._readers(region)
        while True:
            values = {region.params[1 + n] for n in late}
            if not values.isdisjoint(reads):
                return tuple(base(each) for each in region.params if each in values & reads)
            for each in region.nodes:
                values.update(each.results if not values.isdisjoint(each.operands) else ())
            more = late | {n for n in range(count) if given[n] in values}
            if more == late:
                return ()
            late = more

    def _readers(self, region: Region) -> set[str]:
        """The values that model calls of the region wait for."""
        needed: set[str] = set()
        for node in reversed(region.nodes):
            if self.node(node) or not needed.isdisjoint(node.results):
                needed.update(node.operands)
        return needed


def _then(first: tuple[Stage, ...], second: tuple[Stage, ...]) -> tuple[Stage, ...]:
    return (*first, *second)[:LONGEST]


def _repeated(stages: tuple[Stage, ...], times: int) -> tuple[Stage, ...]:
    return (stages * min(times, LONGEST))[:LONGEST]


def _widened(stages: tuple[Stage, ...], times: int) -> tuple[Stage, ...]:
    """The stages of so many executions side by side."""
    return tuple(each.model_copy(update={"calls": each.calls * times}) for each in stages) if times else ()


def _together(stages: Sequence[Stage]) -> Stage:
    """One stage of calls side by side: as long as its longest."""
    return Stage(
        calls=sum(each.calls for each in stages),
        input_tokens=max(each.input_tokens for each in stages),
        output_tokens=max(each.output_tokens for each in stages),
        output_tokens_upper=max(each.output_tokens_upper for each in stages),
        tool_seconds=max(each.tool_seconds for each in stages),
    )


def _settled(stages: Iterable[Stage]) -> tuple[Stage, ...]:
    """The stages with time spent in tools alone counted to the calls that follow."""
    settled: list[Stage] = []
    seconds = 0.0
    for each in stages:
        seconds += each.tool_seconds
        if each.calls:
            settled.append(each.model_copy(update={"tool_seconds": seconds}))
            seconds = 0.0
    return (*settled, Stage(calls=0, tool_seconds=seconds)) if seconds else tuple(settled)


def _or(first: T | None, second: T) -> T:
    return second if first is None else first


def _limited(value: int, limit: int | None) -> int:
    return value if limit is None else min(value, limit)


def _number(node: Node, option: str) -> int | None:
    """An option of a model call, if its code says it as a number."""
    call = call_of(node)
    match (options(call) or {}).get(option) if call is not None else None:
        case ast.Constant(int() as number):
            return number
    return None


def _awaits(node: Node) -> int:
    """How often traced code says `await`."""
    return sum(isinstance(each, ast.Await) for part in statements(node) for each in ast.walk(part))


def _length(node: Node) -> int | None:
    """How many items a node makes, where its code says it: a display, or `range` of numbers."""
    found = assigned(node)
    match found[1] if found is not None else None:
        case ast.List(parts) | ast.Tuple(parts) if not any(isinstance(each, ast.Starred) for each in parts):
            return len(parts)
        case ast.Call(ast.Name("range"), args, []):
            numbers = [each.value for each in args if isinstance(each, ast.Constant)]
            whole = [each for each in numbers if isinstance(each, int)]
            if len(whole) == len(args) and 1 <= len(whole) <= 3 and whole[2:] != [0]:
                return len(range(*whole))
    return None
