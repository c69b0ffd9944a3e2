"""What a program will still do, told by others like it."""

from __future__ import annotations

from collections.abc import Sequence

from hypothesis import given, settings
from hypothesis import strategies as st

from agentvm_compiler.wire import Hints, Stage
from agentvm_serving.estimate import patterns as module
from agentvm_serving.estimate.medoids import medoids
from agentvm_serving.estimate.patterns import KEPT, QUIET, Patterns, forecastable, shapes

Shape = Sequence[tuple[int, int, int]]
"""Of each stage: calls, prompt tokens, output tokens."""

SHORT: Shape = [(1, 100, 20), (1, 30, 10)]
LONG: Shape = [(1, 900, 200), (3, 200, 50), (1, 400, 300)]


class Driver:
    """Runs programs one after the other on a clock of its own."""

    def __init__(self, bandwidth: float = module.BANDWIDTH) -> None:
        self.patterns = Patterns(bandwidth)
        self.now = 1000.0
        self.runs = 0

    def run(self, shape: Shape, program: str = "p") -> list[Hints]:
        """A whole run; the hints that the first call of each stage gets."""
        hints = self.begin(program)
        return [self.stage(hints, number, *stage) for number, stage in enumerate(shape)]

    def begin(self, program: str = "p") -> Hints:
        self.runs += 1
        return Hints(run=f"r{self.runs}", program=program, slo="deadline")

    def stage(self, hints: Hints, number: int, calls: int, prompt: int, tokens: int) -> Hints:
        names = [f"{hints.run}/{number}/{call}" for call in range(calls)]
        found = [self.patterns.arrived(hints, name, prompt, self.now) for name in names]
        self.now += 1
        for name in names:
            self.patterns.ended(hints.run, name, tokens, self.now)
        self.now += 0.5  # in tools
        return found[0]

    def learn(self, *shapes: Shape) -> None:
        for shape in shapes:
            self.run(shape)
        self.rest()

    def rest(self) -> None:
        """So long that all runs have gone quiet."""
        self.now += QUIET + 1
        self.patterns.arrived(Hints(run="other", program="other"), f"other{self.now}", 1, self.now)


def test_only_who_tells_nothing_is_forecast():
    """A compiled program names the place of each call, the last one's too."""
    assert forecastable(Hints(run="r", program="p"))
    assert not forecastable(Hints(run="r", site="p.llm#1"))
    assert not forecastable(Hints(run="r", remaining=(Stage(),)))
    assert not forecastable(Hints(program="p"))


def test_a_first_run_is_forecast_nothing():
    """But its stages are told apart."""
    first, second = Driver().run(SHORT)
    assert (first.site, first.remaining, first.siblings) == ("p#0", (), 1)
    assert (second.site, second.remaining) == ("p#1", ())


def test_a_run_is_forecast_what_others_did():
    """All that remains of it, stage by stage, as hints of a compiled program tell it."""
    driver = Driver()
    driver.learn(LONG)
    first, second, last = driver.run(LONG)
    third = Stage(calls=1, input_tokens=400, output_tokens=300, output_tokens_upper=300, tool_seconds=0.5)
    middle = Stage(calls=3, input_tokens=200, output_tokens=50, output_tokens_upper=50, tool_seconds=0.5)
    assert (first.remaining, second.remaining, last.remaining) == ((middle, third), (third,), ())
    assert [each.siblings for each in (first, second, last)] == [1, 3, 1]


def test_a_run_is_told_by_those_that_began_like_it():
    """Not by others of the same program, nor by those of another."""
    driver = Driver()
    driver.learn(SHORT, LONG, SHORT, LONG)
    short, long = driver.run([(1, 110, 22)])[0], driver.run([(1, 800, 210)])[0]
    assert [len(each.remaining) for each in (short, long)] == [1, 2]
    assert driver.run([(1, 110, 22)], program="q")[0].remaining == ()


def test_what_a_run_has_done_tells_more_than_its_first_prompt():
    """Two kinds begin with the same prompt; the answer tells them apart."""
    driver = Driver()
    one, other = [(1, 100, 10), (1, 50, 5)], [(1, 100, 300), (4, 50, 5), (1, 50, 5)]
    driver.learn(one, other, one, other, one)
    hints = driver.begin()
    assert len(driver.stage(hints, 0, 1, 100, 280).remaining) == 1
    assert len(driver.stage(hints, 1, 1, 50, 5).remaining) == 1
    hints = driver.begin()
    driver.stage(hints, 0, 1, 100, 11)
    assert driver.stage(hints, 1, 1, 50, 5).remaining == ()


def test_a_bandwidth_of_next_to_nothing_tells_nobody_apart():
    """Why the kernel is wide: no two runs have the same numbers of tokens."""
    for bandwidth, stages in ((module.BANDWIDTH, 2), (1e-4, 1)):
        driver = Driver(bandwidth)
        driver.learn(LONG, SHORT, SHORT)
        assert len(driver.run([(1, 905, 203)])[0].remaining) == stages


def test_a_run_unlike_all_others_is_forecast_what_they_have_in_common():
    """Most of them had a second stage."""
    driver = Driver()
    driver.learn(LONG, SHORT, SHORT)
    assert len(driver.run([(1, 20_000, 3)])[0].remaining) == 1


def test_calls_that_overlap_belong_to_the_stage_they_can_follow():
    """One branch goes on while another is still in its first call."""
    patterns = Patterns()
    hints = Hints(run="r", program="p")
    sites = [patterns.arrived(hints, name, 10, 1.0).site for name in ("a", "b")]
    patterns.ended("r", "a", 5, 2.0)
    sites.append(patterns.arrived(hints, "c", 10, 3.0).site)
    patterns.ended("r", "b", 50, 4.0)
    sites.append(patterns.arrived(hints, "d", 10, 5.0).site)
    assert sites == ["p#0", "p#0", "p#1", "p#1"]
    graph = patterns._runs["r"].calls
    assert sorted(graph.edges) == [("a", "c"), ("a", "d"), ("b", "d")]
    assert [(each.calls, each.longest) for each in shapes(graph)] == [(2, 50), (2, 0)]


def test_what_programs_do_now_counts():
    """Old patterns lose their weight."""
    driver = Driver()
    driver.learn(*[[(1, 100, 20)] * 4] * 10)
    driver.learn(*[[(1, 100, 20)] * 2] * 60)
    assert len(driver.run([(1, 100, 20)])[0].remaining) == 1


def test_a_long_call_does_not_end_its_run():
    """However long nothing is heard of it."""
    driver = Driver()
    hints = driver.begin()
    driver.patterns.arrived(hints, "slow", 10, driver.now)
    driver.rest()
    assert driver.patterns.patterns("p") == ()
    driver.patterns.ended(hints.run, "slow", 10, driver.now)
    driver.rest()
    assert len(driver.patterns.patterns("p")) == 1


def test_a_run_that_goes_on_is_learnt_again():
    """Its tools took longer than others'."""
    driver = Driver()
    hints = driver.begin()
    driver.stage(hints, 0, 1, 100, 20)
    driver.rest()
    assert [len(each.stages) for each in driver.patterns.patterns("p")] == [1]
    driver.stage(hints, 1, 1, 100, 20)
    driver.rest()
    assert [len(each.stages) for each in driver.patterns.patterns("p")] == [2]


def test_what_is_unknown_is_ignored():
    """A call that was never announced."""
    driver = Driver()
    driver.patterns.ended("nobody", "x", 3, driver.now)
    hints = driver.begin()
    driver.patterns.arrived(hints, "a", 10, driver.now)
    driver.patterns.ended(hints.run, "x", 3, driver.now)
    assert driver.patterns._runs[hints.run].under_way == 1


def test_few_patterns_stand_for_many():
    """The kinds are kept, the rare one too, with the weight of those they stand for."""
    driver = Driver()
    kinds: list[Shape] = [[(1, 10**k, 10**k)] * 2 for k in (1, 2, 3)]
    driver.learn(*(kinds[n % 2] for n in range(40)), kinds[2], *(kinds[n % 2] for n in range(30)))
    found = driver.patterns.patterns("p")
    assert len(found) <= 2 * KEPT
    assert {each.stages[0].input_tokens for each in found} == {10, 100, 1000}


def test_medoids_are_in_the_middle_of_their_own():
    """Two heaps and one that is far off."""
    at = [0.0, 1.0, 2.0, 50.0, 51.0, 52.0, 500.0]
    found = medoids([1.0] * 7, lambda a, b: abs(at[a] - at[b]), 3)
    assert {center: sorted(members) for center, members in found.items()} == {
        1: [0, 1, 2],
        4: [3, 4, 5],
        6: [6],
    }
    assert medoids([1.0, 1.0], lambda a, b: 0.0, 2) == {0: [0, 1]}


STEPS = st.lists(
    st.tuples(
        st.integers(0, 9),  # the run
        st.integers(0, 3),  # its program
        st.integers(0, 2000),  # tokens
        st.sampled_from((0.0, 0.1, 5.0, QUIET + 1)),  # seconds to the next step
        st.booleans(),  # whether an open call ends
    ),
    max_size=300,
)


@settings(max_examples=40, deadline=None)
@given(STEPS)
def test_memory_is_bounded_whatever_comes(steps):
    """Runs, their calls, programs and patterns; and every forecast is one that hints can carry."""
    limits = {"RUNS": 6, "PROGRAMS": 2, "KEPT": 2, "CALLS": 8}
    before = {name: getattr(module, name) for name in limits}
    try:
        for name, value in limits.items():
            setattr(module, name, value)
        _play(Patterns(), steps)
    finally:
        for name, value in before.items():
            setattr(module, name, value)


def _play(patterns: Patterns, steps: Sequence[tuple[int, int, int, float, bool]]) -> None:
    now, open_calls = 0.0, []
    for number, (run, program, tokens, seconds, ends) in enumerate(steps):
        if ends and open_calls:
            patterns.ended(*open_calls.pop(0), tokens, now)
        name = f"r{run}.{program}"
        hints = patterns.arrived(Hints(run=name, program=f"p{program}"), f"c{number}", tokens, now)
        open_calls.append((name, f"c{number}"))
        now += seconds
        assert Hints.model_validate_json(hints.model_dump_json()) == hints
        assert len(hints.remaining) <= 8
        assert len(patterns._runs) <= 6
        assert all(len(each.calls) <= 8 for each in patterns._runs.values())
        assert len(patterns._known) <= 2
        for each in patterns._known.values():
            assert len(each) <= 4
            assert all(pattern.weight > 0 and len(pattern.stages) <= 8 for pattern in each)
