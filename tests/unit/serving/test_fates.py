"""Calls of one run with one deadline share their fate, on vLLM's real scheduler and KV manager."""

from __future__ import annotations

import pytest

pytest.importorskip("vllm", reason="vLLM is not installed", exc_type=ImportError)

from agentvm_compiler.wire import Hints, Stage
from agentvm_serving.estimate.steps import Batch
from agentvm_serving.order.fates import Fates
from agentvm_serving.slo import to_extra_args
from agentvm_serving.vllm.scheduler import creator

from .position_true import EPOCH, Engine, check_blocks

LONG = (Stage(times=100, output_tokens=100),)
"""Later stages for which no deadline of these tests has room."""


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    return tmp_path_factory.mktemp("tiny")


@pytest.fixture
def engine(folder):
    """An engine of one slot that knows its pace, in virtual time."""

    def make(*, reject: bool = False) -> Engine:
        made = Engine(folder, creator("edf", rejects=reject), slots=1)
        for _ in range(30):
            made.scheduler._tracker.measured(Batch(prefill=1, decodes=1), 0.05)
        return made

    return make


def send(engine: Engine, name: str, run: str, due: float, remaining=(), siblings: int = 3) -> None:
    """A call that is due so many seconds after the start."""
    hints = Hints(
        key=name,
        run=run,
        site="agent.llm#1",
        slo="deadline",
        deadline=EPOCH + due,
        remaining=remaining,
        siblings=siblings,
    )
    engine.add(name, list(range(8)), 2, to_extra_args(hints))


def begun(engine: Engine) -> list[str]:
    """Serve all to their end; the order in which they began."""
    order: list[str] = []
    while engine.busy:
        order += [name for name in engine.step() if name not in order]
    check_blocks(engine.scheduler)
    return order


def why(engine: Engine, name: str) -> str:
    return engine.scheduler.records(name)[0]["why"]


def test_those_of_a_run_are_served_best_effort_together(engine):
    """Once one of them cannot be in time; calls of other runs and with other deadlines keep their places."""
    one = engine()
    send(one, "a", "r", 20)
    send(one, "sooner", "r", 19)
    send(one, "lost", "r", 20, LONG)
    send(one, "b", "r", 20)  # came after it was known
    send(one, "other", "s", 20)
    assert why(one, "lost").startswith("it has -")
    assert why(one, "a") == why(one, "b")
    assert why(one, "a").startswith("a call that it is joined with cannot: it has -")
    assert why(one, "sooner") == why(one, "other") == ""
    assert begun(one) == ["sooner", "other", "a", "lost", "b"]


def test_those_of_a_run_that_gets_more_time_are_served_by_their_deadline_again(engine):
    """The change reaches one after the other; in the end all are where they belong."""
    one = engine()
    for name in ("a", "lost", "b"):
        send(one, name, "r", 20, LONG if name == "lost" else ())
    send(one, "other", "s", 950)
    assert one.scheduler.update_hints({"deadline": EPOCH + 900}, run="r") == 3
    assert begun(one) == ["a", "lost", "b", "other"]
    assert [why(one, name) for name in ("a", "lost", "b")] == [""] * 3


@pytest.mark.parametrize("ends", [False, True])
def test_what_the_hopeless_one_leaves_or_no_longer_needs_is_hoped_for_again(engine, ends):
    """It was given up by its caller, or its forecast was revised."""
    one = engine()
    send(one, "a", "r", 20)
    send(one, "lost", "r", 20, LONG)
    send(one, "other", "s", 21)
    if ends:
        one.abort("lost")
    else:
        one.scheduler.update_hints({"remaining": ()}, key="lost")
    assert begun(one) == (["a", "other"] if ends else ["a", "lost", "other"])
    assert why(one, "a") == ""


def test_the_second_that_is_lost_keeps_the_others_from_hoping(engine):
    """As long as one of those under way cannot be in time, none of them counts."""
    one = engine()
    send(one, "a", "r", 20)
    send(one, "lost", "r", 20, LONG)
    send(one, "lost too", "r", 20, LONG)
    one.abort("lost")
    assert why(one, "a")
    one.abort("lost too")
    assert not why(one, "a")


def test_what_is_joined_with_a_rejected_call_is_rejected_with_it(engine):
    """Those that wait and those that run; not calls that no node joins with it, nor other runs'."""
    one = engine(reject=True)
    send(one, "running", "r", 20)
    one.step()
    for name, run, siblings in (("joined", "r", 3), ("alone", "r", 1), ("other", "s", 3)):
        send(one, name, run, 20, siblings=siblings)
    send(one, "lost", "r", 20, LONG)
    assert begun(one) == ["alone", "other"]
    assert {name for name, reason in one.reasons.items() if reason == "abort"} == {
        "running",
        "joined",
        "lost",
    }
    for name in ("running", "joined"):
        assert one.told[name].startswith("agentvm: it cannot be in time: a call that it is joined with")


def test_a_change_that_dooms_a_run_rejects_it_whole(engine):
    """Though it reaches its calls one by one."""
    one = engine(reject=True)
    for name in ("a", "b", "c"):
        send(one, name, "r", 20)
    send(one, "other", "s", 30)
    assert one.scheduler.update_hints({"deadline": EPOCH + 0.01}, run="r") == 3
    assert begun(one) == ["other"]
    assert {one.reasons[name] for name in ("a", "b", "c")} == {"abort"}


def test_calls_that_are_in_no_run_share_nothing():
    """Nor do those of a chat, nor those without a deadline."""
    fates = Fates()
    for number, hints in enumerate(
        (
            None,
            Hints(slo="deadline", deadline=5.0),
            Hints(run="r", slo="latency"),
            Hints(run="r", slo="deadline"),
        )
    ):
        assert fates.joined(str(number), hints) is None
        assert fates.lost(str(number), "late") is None
        assert fates.left(str(number)) is None
    assert fates.joined("x", Hints(run="r", slo="deadline", run_deadline=7.0)) == ("r", 7.0)
