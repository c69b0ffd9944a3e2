"""Programs as the metrics count them: met or missed as wholes, at their deadlines."""

from __future__ import annotations

from agentvm_compiler.wire import Hints
from agentvm_serving.vllm.programs import GRACE, Programs, program_of


def hints(run: str = "r", due: float = 10.0, **other: object) -> Hints:
    return Hints.model_validate({"run": run, "slo": "deadline", "run_deadline": due, **other})


def served(programs: Programs, run: str, *calls: tuple[float, float], due: float = 10.0, whole: bool = True):
    for began, ended in calls:
        programs.began(hints(run, due), began)
        programs.ended(hints(run, due), 5, whole, ended)


def decided(programs: Programs, now: float) -> list[tuple[bool, int]]:
    return [(each.met, each.tokens) for each in programs.decided(now)]


def test_a_program_counts_once_with_all_its_tokens():
    """When its deadline has passed, and a moment for a late call to show."""
    programs = Programs()
    served(programs, "r", (0.0, 1.0), (2.0, 9.0))
    assert decided(programs, 10.0 + GRACE) == []
    assert decided(programs, 10.1 + GRACE) == [(True, 10)]
    assert decided(programs, 99.0) == []


def test_one_late_call_makes_a_program_late():
    """Ended late, begun late, under way, or given up."""
    for calls, whole in (
        ([(0.0, 1.0), (2.0, 10.5)], True),
        ([(0.0, 1.0), (11.0, 12.0)], True),
        ([(0, 1)], False),
    ):
        programs = Programs()
        served(programs, "r", *calls, whole=whole)
        [(met, _)] = decided(programs, 99.0)
        assert not met
    programs = Programs()
    programs.began(hints(), 1.0)
    assert decided(programs, 99.0) == [(False, 0)]
    programs.ended(hints(), 5, True, 100.0)  # of a program that is decided


def test_programs_are_decided_in_the_order_of_their_deadlines():
    """Each at its own."""
    programs = Programs()
    served(programs, "late", (0.0, 1.0), (1.0, 2.0), due=50.0)
    served(programs, "soon", (0.0, 1.0), due=10.0)
    assert decided(programs, 20.0) == [(True, 5)]
    assert decided(programs, 60.0) == [(True, 10)]


def test_what_is_part_of_a_program():
    """A call of a run that has a deadline; a chat counts by its tokens, though a program makes it."""
    assert program_of(hints()) is not None
    assert program_of(Hints(run="r", slo="deadline", deadline=5.0)) is not None
    for other in (None, Hints(slo="deadline", deadline=5.0), Hints(run="r"), hints(slo="latency")):
        assert program_of(other) is None
