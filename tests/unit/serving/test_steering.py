"""Pure rules beside the policies: who cannot be in time, is overdue, or gives way; how long a step may be."""

from __future__ import annotations

from typing import Any

import pytest

from agentvm_compiler.wire import Hints, Stage
from agentvm_serving.estimate.lengths import Lengths
from agentvm_serving.policy import EngineView, RequestView
from agentvm_serving.policy.admission import hopeless
from agentvm_serving.policy.exchange import displaced
from agentvm_serving.policy.guard import OVERDUE, PATIENCE, feed_overdue
from agentvm_serving.policy.pace import LEAST, most_tokens

NOW = 1000.0


def view(deadline: float = NOW + 60, ordinal: int = 0, **known: Any) -> RequestView:
    hints = Hints(slo="deadline", deadline=deadline, site="report")
    return RequestView(**{"ordinal": ordinal, "arrival": NOW, "hints": hints, "prompt_tokens": 100} | known)


def chat(arrival: float = NOW, **known: Any) -> RequestView:
    return view(arrival=arrival, hints=Hints(slo="latency", ttft=1.0, tbt=0.2), **known)


def engine(**known: Any) -> EngineView:
    """Every answer has 100 tokens; 100 ms a step and 1 ms a prompt token."""
    lengths = Lengths()
    for _ in range(50):
        lengths.finished("report", 100)
    return EngineView(
        **{"now": NOW, "step": 0.1, "per_prefill": 0.001, "slots": 8, "lengths": lengths} | known
    )


@pytest.mark.parametrize(("seconds", "verdict"), [(0.1, True), (9.0, True), (11.0, False), (60.0, False)])
def test_a_deadline_before_the_prompt_and_the_answer_is_hopeless(seconds, verdict):
    """A tenth of a second for the prompt, ten for the answer."""
    assert (hopeless(view(NOW + seconds), engine()) is not None) is verdict


def test_stages_to_come_need_time_too():
    """A call is hopeless if the program is."""
    later = Hints(
        slo="deadline", deadline=NOW + 20, site="report", remaining=(Stage(output_tokens=90, tool_seconds=3),)
    )
    assert hopeless(view(NOW + 20), engine()) is None
    assert hopeless(view(hints=later), engine()) is not None


def test_a_chat_is_hopeless_only_if_it_cannot_catch_up():
    """Late, and slower than it was promised."""
    late = chat(NOW - 5)
    assert hopeless(late, engine()) is None
    assert "its next token takes" in str(hopeless(late, engine(step=0.3)))


def test_what_has_no_objective_is_never_hopeless():
    """Whatever the engine's pace."""
    assert [hopeless(view(hints=hints), engine(step=9.9)) for hints in (None, Hints())] == [None, None]


def test_the_longest_overdue_go_first_as_far_as_there_is_room():
    """One in 32 of those that run, at least one; what a policy put first itself counts."""
    views = [view(NOW - PATIENCE - late, number) for number, late in enumerate((5, 9, 7, -9))]
    run = [view(NOW + 9, 4 + number, running=True) for number in range(64)]
    assert feed_overdue([*views, *run], engine(slots=256))
    assert [each.rank[0] for each in views] == [0, OVERDUE, OVERDUE, 0]
    views[3].rank = (-1, 0.0, 3)
    views[1].rank = views[2].rank = (0, 0.0, 1)
    assert not feed_overdue(views, engine(slots=256))


def test_who_cannot_be_in_time_gives_way_to_who_can():
    """Unless its KV takes longer to compute than it would keep its slot."""
    wants = view(ordinal=5)
    lost = view(NOW + 1, rank=(2, 0.0, 1))
    assert displaced([wants], [lost], engine()) == [lost]
    assert displaced([wants], [view(NOW + 1, rank=(2, 0.0, 1), prompt_tokens=2000)], engine()) == []
    assert displaced([wants], [view(rank=(2, 0.0, 1))], engine()) == []  # it may still be in time
    assert displaced([view(rank=(1, 0.0, 0))], [lost], engine()) == []  # who wants the slot counts for little


def test_the_tightest_pace_bounds_a_step():
    """What fits beside the decoding ones, but never so little that prompts starve."""
    assert most_tokens([], 4, engine()) is None
    assert most_tokens([chat()], 4, engine()) == 4 + 100
    assert most_tokens([chat()], 4, engine(step=0.5)) == 4 + LEAST
