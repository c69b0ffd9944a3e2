"""Pattern graphs: what a program will still do, told by what others like it did.

For clients whose hints name a program and a run but no forecast (JITServe, section 4.1).
The calls of a run that is under way form a graph: a call follows the finished
calls of the highest level, so its *stage* is its level in the graph. A run that
has gone quiet becomes a *pattern*, its stages in short. What is to come of a run is
what came in the patterns that began as it did, each counted by a Gaussian
kernel over their common stages. Tokens are compared by their logarithm: a
bandwidth in tokens (the paper's artifact has one of a single token) makes
everything unlike everything.

Memory is bounded: patterns lose weight with each later one of their program, and
are replaced by weighted medoids when there are too many.
"""

from __future__ import annotations

import math
from collections import OrderedDict
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any, Final

import networkx as nx

from agentvm_compiler.wire import Hints, Stage

from .medoids import medoids

BANDWIDTH: Final = 0.5
"""Standard deviation of the kernel, in logarithms: a factor of 1.6."""
UNLIKE: Final = 1e-3
"""Likeness of a pattern that began quite differently: where none is like, they count alike."""
KEPT: Final = 16
"""Patterns of a program, after they were reduced; twice as many before."""
DECAY: Final = 0.97
"""Weight that a pattern keeps with each later one: about the newest thirty count."""
PROGRAMS: Final = 512
RUNS: Final = 4096
"""Programs known, and runs followed, at a time; those unused for longest are dropped."""
CALLS: Final = 256
"""Calls of a run that its graph holds; later ones are not followed."""
QUIET: Final = 5.0
"""Seconds without a call after which a run is learnt: it may be over. If it goes on it is learnt again."""


@dataclass(frozen=True, slots=True)
class StageShape:
    """One stage of a run."""

    calls: int
    input_tokens: float
    """Of one call, on average."""
    output_tokens: float
    """Of one call, on average."""
    longest: int
    """Output tokens of the longest call, which the next stage waits for."""
    tool_seconds: float
    """Between the stage before and this one."""

    @property
    def place(self) -> tuple[float, float, float]:
        """Where the stage stands among others."""
        return math.log1p(self.calls), math.log1p(self.input_tokens), math.log1p(self.output_tokens)


@dataclass(slots=True)
class Pattern:
    """A run that has gone quiet."""

    stages: tuple[StageShape, ...]
    weight: float = 1.0


@dataclass(slots=True)
class _Run:
    """A run under way."""

    program: str
    calls: Any = field(default_factory=nx.DiGraph)
    """By name: `level`, `prompt`, `began`; of those that are finished also `ended` and `tokens`."""
    under_way: int = 0
    heard: float = 0.0
    """When a call of it came or ended last, Unix seconds."""
    pattern: Pattern | None = None
    """What was learnt of it."""


def forecastable(hints: Hints) -> bool:
    """Whether a forecast is wanted: the hints name a run, but neither a place in it nor what remains."""
    return bool(hints.run and not hints.site and not hints.remaining)


class Patterns:
    """Follows runs and forecasts them."""

    def __init__(self, bandwidth: float = BANDWIDTH) -> None:
        self._bandwidth = bandwidth
        self._known: OrderedDict[str, list[Pattern]] = OrderedDict()
        self._runs: OrderedDict[str, _Run] = OrderedDict()
        self._loud: OrderedDict[str, _Run] = OrderedDict()
        """Those to be learnt when they go quiet. Both: unheard of for longest first."""

    def arrived(self, hints: Hints, call: str, prompt: int, now: float) -> Hints:
        """A call of a run: its hints, with what is to be expected filled in.

        Args:
            call: its name, unique.
            now: Unix seconds; never earlier than before.
        """
        self._listen(now)
        run = self._runs.get(hints.run) or _Run(hints.program)
        if len(run.calls) >= CALLS:
            return hints
        ended = [(name, known["level"]) for name, known in run.calls.nodes(data=True) if "ended" in known]
        level = max((level for _, level in ended), default=-1) + 1
        run.calls.add_node(call, level=level, prompt=prompt, began=now)
        run.calls.add_edges_from((name, call) for name, at in ended if at == level - 1)
        run.under_way += 1
        self._heard(hints.run, run, now)
        forecast = self._forecast(run, level)
        now_and_later = {"siblings": forecast[0].calls, "remaining": forecast[1:]}
        return hints.model_copy(update={"site": f"{hints.program}#{level}", **now_and_later})

    def ended(self, name: str, call: str, tokens: int, now: float) -> None:
        """A call of a run has come to its end, or was given up. One that is not followed is ignored."""
        run = self._runs.get(name)
        if run is None or call not in run.calls:
            return
        run.calls.nodes[call].update(ended=now, tokens=tokens)
        run.under_way -= 1
        self._heard(name, run, now)

    def patterns(self, program: str) -> Sequence[Pattern]:
        """Those known of a program."""
        return self._known.get(program, ())

    # forecast --------------------------------------------------------------

    def _forecast(self, run: _Run, level: int) -> tuple[Stage, ...]:
        """The stage at that level and those after it, as far as most of the weight goes on."""
        seen = shapes(run.calls)
        now = seen[level]
        likely = [
            (self._likeness(seen, each, level) * each.weight, each) for each in self.patterns(run.program)
        ]
        total = sum(weight for weight, _ in likely)
        stages = [Stage(calls=now.calls)]
        if total > 0:
            going = [(weight, each.stages[level]) for weight, each in likely if len(each.stages) > level]
            stages = [Stage(calls=max(now.calls, round(_mean(going, "calls"))))] if going else stages
            while True:
                at = level + len(stages)
                going = [(weight, each.stages[at]) for weight, each in likely if len(each.stages) > at]
                if sum(weight for weight, _ in going) < 0.5 * total:
                    break
                stages.append(_expected(going))
        return tuple(stages)

    def _likeness(self, seen: Sequence[StageShape], pattern: Pattern, level: int) -> float:
        """Gaussian kernel over the stages that are over; 0 if the pattern ends before this one."""
        if len(pattern.stages) <= level:
            return 0.0
        squares = sum(
            (a - b) ** 2
            for ours, theirs in zip(seen[:level], pattern.stages[:level], strict=True)
            for a, b in zip(ours.place, theirs.place, strict=True)
        )
        # Of the stage under way, prompts are known; more calls may come, so only too many count.
        ours, theirs = seen[level].place, pattern.stages[level].place
        squares += max(0.0, ours[0] - theirs[0]) ** 2 + (ours[1] - theirs[1]) ** 2
        return UNLIKE + math.exp(-squares / (2 * self._bandwidth**2))

    # memory ----------------------------------------------------------------

    def _heard(self, name: str, run: _Run, now: float) -> None:
        run.heard = now
        for runs in (self._runs, self._loud):
            runs[name] = run
            runs.move_to_end(name)
        if len(self._runs) > RUNS:
            gone, _ = self._runs.popitem(last=False)
            self._loud.pop(gone, None)

    def _listen(self, now: float) -> None:
        """Learn the runs that have gone quiet. Amortised O(1)."""
        while self._loud:
            name, run = next(iter(self._loud.items()))
            if run.heard > now - QUIET:
                return
            del self._loud[name]
            if not run.under_way:  # else it is heard again when that ends
                self._learn(run)

    def _learn(self, run: _Run) -> None:
        known = self._known.setdefault(run.program, [])
        self._known.move_to_end(run.program)
        stages = tuple(shapes(run.calls))
        if run.pattern is not None:  # it went on
            run.pattern.stages = stages
            return
        for each in known:
            each.weight *= DECAY
        run.pattern = Pattern(stages)
        known.append(run.pattern)
        if len(known) > 2 * KEPT:
            self._known[run.program] = reduced(known, KEPT)
        if len(self._known) > PROGRAMS:
            self._known.popitem(last=False)


def shapes(calls: Any) -> list[StageShape]:
    """The stages of a run's graph, first to last. Unfinished calls count without output."""
    stages = []
    before = math.inf
    for generation in nx.topological_generations(calls):
        stage = [calls.nodes[name] for name in generation]
        tokens = [each.get("tokens", 0) for each in stage]
        began = min(each["began"] for each in stage)
        stages.append(
            StageShape(
                len(stage),
                sum(each["prompt"] for each in stage) / len(stage),
                sum(tokens) / len(stage),
                max(tokens),
                max(0.0, began - before),
            )
        )
        # What follows may begin when the first call is over that it can follow: the last one, mostly.
        before = max((each["ended"] for each in stage if "ended" in each), default=math.inf)
    return stages


def reduced(patterns: Sequence[Pattern], count: int) -> list[Pattern]:
    """The weighted medoids of patterns: each stands for those nearest to it."""
    chosen = medoids(
        [each.weight for each in patterns], lambda a, b: distance(patterns[a], patterns[b]), count
    )
    return [
        Pattern(patterns[center].stages, sum(patterns[each].weight for each in members))
        for center, members in chosen.items()
    ]


def distance(one: Pattern, other: Pattern) -> float:
    """Between two patterns; a stage that one of them lacks counts in full."""
    nothing = (0.0, 0.0, 0.0)
    total = 0.0
    for number in range(max(len(one.stages), len(other.stages))):
        ours = one.stages[number].place if number < len(one.stages) else nothing
        theirs = other.stages[number].place if number < len(other.stages) else nothing
        total += sum((a - b) ** 2 for a, b in zip(ours, theirs, strict=True))
    return math.sqrt(total)


def _expected(stages: Sequence[tuple[float, StageShape]]) -> Stage:
    return Stage(
        calls=max(1, round(_mean(stages, "calls"))),
        input_tokens=round(_mean(stages, "input_tokens")),
        # The next stage waits for the longest of the calls.
        output_tokens=round(_mean(stages, "output_tokens")),
        output_tokens_upper=round(_mean(stages, "longest")),
        tool_seconds=_mean(stages, "tool_seconds"),
    )


def _mean(stages: Sequence[tuple[float, StageShape]], name: str) -> float:
    total = sum(weight for weight, _ in stages)
    return float(sum(weight * getattr(stage, name) for weight, stage in stages) / total)
