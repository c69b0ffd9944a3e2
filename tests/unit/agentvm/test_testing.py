"""The test doubles themselves: scripted answers, plain execution, the fake clock."""

from __future__ import annotations

import asyncio
from dataclasses import dataclass
from enum import StrEnum

import pytest
from pydantic import BaseModel

from agentvm import BackendError, ConfigError, InputError, StructuredOutputError, agent, llm, now, tool
from agentvm.testing import FakeClock, ScriptedLLM, plain


class Mood(StrEnum):
    GOOD = "good"
    BAD = "bad"


@dataclass
class Verdict:
    ok: bool


class Answer(BaseModel):
    text: str


@tool(effect="pure")
async def shout(text: str) -> str:
    return text.upper()


@tool(effect="pure")
def double(number: int) -> int:
    return 2 * number


@agent
async def inner(text: str) -> str:
    return await shout(await llm(f"say {text}"))


@agent
async def outer(texts: list[str]) -> str:
    return " ".join(await asyncio.gather(*(inner(each) for each in texts))) + str(double(2))


async def test_plain_runs_agents_and_tools_as_ordinary_python():
    """Agents, async and sync tools run; only the model is the double's, also in tasks."""
    double = ScriptedLLM(lambda call: call.prompt.removeprefix("say "))
    with plain(llm=double):
        assert await outer(["a", "b"]) == "A B4"
    assert sorted(double.prompts) == ["say a", "say b"]


async def test_plain_ends_with_its_context():
    """Afterwards `llm` is out of reach again."""
    with plain(llm=["x"]):
        pass
    with pytest.raises(ConfigError, match="outside a run"):
        await llm("hello")


async def test_plain_without_a_model_says_so():
    """The remedy names the parameter."""
    with plain(), pytest.raises(ConfigError, match=r"plain\(llm=\.\.\.\)"):
        await llm("hello")


@pytest.mark.parametrize(
    ("answer", "returns", "value"),
    [
        (Verdict(True), Verdict, Verdict(True)),
        ('{"ok": false}', Verdict, Verdict(False)),
        (Answer(text="t"), Answer, Answer(text="t")),
        (Mood.GOOD, Mood, Mood.GOOD),
        ("bad", Mood, Mood.BAD),
        (["a"], list[str], ["a"]),
        (3, int, 3),
        ("3", int, 3),
        ("3", str, "3"),
    ],
)
async def test_answers_are_objects_or_json_text(answer, returns, value):
    """Both go through the same validation as an engine's text."""
    with plain(llm=[answer]):
        got = await llm("q", returns=returns)
    assert got == value and type(got) is type(value)


async def test_scripts_may_be_async_functions():
    """An async script is awaited."""

    async def script(call):
        await asyncio.sleep(0)
        return f"{call.prompt}!"

    with plain(llm=ScriptedLLM(script)):
        assert await llm("hey") == "hey!"


async def test_the_script_sees_the_whole_call():
    """Prompt, messages, model, type and sampling are there."""
    double = ScriptedLLM(["{}", "[]"])
    with plain(llm=double):
        await llm("q", system="s", model="m", returns=dict[str, int], temperature=0)
    (call,) = double.calls
    assert (call.prompt, call.model, call.returns) == ("q", "m", dict[str, int])
    assert [turn.role for turn in call.messages] == ["system", "user"]
    assert call.sampling.deterministic and call.schema is not None


async def test_an_invalid_answer_gets_one_repair_attempt():
    """The second answer counts; the double saw two calls."""
    double = ScriptedLLM(["maybe", '{"ok": true}'])
    with plain(llm=double):
        assert await llm("q", returns=Verdict) == Verdict(True)
    assert [len(call.messages) for call in double.calls] == [1, 3]


async def test_two_invalid_answers_are_an_error():
    """As in the virtual machine."""
    with plain(llm=["maybe", "perhaps"]), pytest.raises(StructuredOutputError, match="'perhaps'"):
        await llm("q", returns=Verdict)


@pytest.mark.parametrize(
    ("script", "message"),
    [([], "has 0 answers and was asked once more: 'q'"), ({"p": "x"}, "no answer for 'q'. It knows: 'p'")],
)
async def test_a_script_without_an_answer_fails_the_call(script, message):
    """The message has the prompt that was not foreseen."""
    with plain(llm=script), pytest.raises(BackendError, match=message):
        await llm("q")


async def test_answers_by_prompt():
    """A mapping gives the same answer as often as asked."""
    with plain(llm={"a": "1", "b": "2"}):
        assert [await llm("a"), await llm("b"), await llm("a")] == ["1", "2", "1"]


async def test_one_text_answers_every_call():
    """For programs whose answers do not matter."""
    with plain(llm="yes"):
        assert [await llm("a"), await llm("b")] == ["yes", "yes"]


async def test_an_object_for_a_text_call_is_a_mistake_of_the_test():
    """It would have no one text."""
    with plain(llm=[3]), pytest.raises(ConfigError, match="with a int, but the call returns text"):
        await llm("q")


async def test_a_type_without_schema_is_refused_as_in_a_run():
    """The model is not asked."""
    double = ScriptedLLM([])
    with plain(llm=double), pytest.raises(InputError, match="no JSON Schema"):
        await llm("q", returns=FakeClock)
    assert double.calls == []


async def test_tokens_are_words_and_timing_is_the_clocks():
    """Usage and timing are exact, so tests can assert them."""
    clock = FakeClock(100.0)
    seen: list[tuple[int, str]] = []

    def script(call):
        clock.advance(2.0)
        return "one two three"

    double = ScriptedLLM(script, clock=clock)
    with plain(llm=double):
        await llm("four words in here")
    result = await double.complete(double.calls[0], lambda *told: seen.append(told))
    assert (result.usage.input_tokens, result.usage.output_tokens) == (4, 3)
    assert (result.timing.sent_at, result.timing.ttlt, seen) == (102.0, 2.0, [(3, "one two three")])


async def test_the_double_fits_the_backend_port():
    """Identity tells models apart; closing is remembered."""
    double = ScriptedLLM([])
    assert (double.identity(None), double.identity("m")) == ("scripted", "scripted/m")
    await double.aclose()
    assert double.closed


async def test_now_follows_the_given_clock():
    """Agents that look at the time can be tested."""
    with plain(clock=FakeClock(7.0)):
        assert now() == 7.0


async def test_sleepers_wake_in_the_order_of_their_moments():
    """Nothing happens until the clock is moved."""
    clock, woken = FakeClock(), []

    async def sleeper(name, seconds):
        await clock.sleep(seconds)
        woken.append((name, clock()))

    async with asyncio.TaskGroup() as group:
        for name, seconds in (("late", 3), ("early", 1), ("now", 0)):
            group.create_task(sleeper(name, seconds))
        for _ in range(3):
            await asyncio.sleep(0)
        assert (woken, clock.sleepers) == ([("now", 0.0)], 2)
        clock.advance(5)
    assert woken == [("now", 0.0), ("early", 5.0), ("late", 5.0)]
    with pytest.raises(ConfigError, match="backwards"):
        clock.advance(-1)
