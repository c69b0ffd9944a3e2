"""Asking people: suspending a run for an answer, and going on with it."""

from __future__ import annotations

import asyncio
from enum import Enum

import anyio
import anyio.lowlevel
import pytest
from pydantic import BaseModel, field_validator

from agentvm import (
    AgentVM,
    ConfigError,
    InputError,
    RunFailed,
    RunSuspended,
    agent,
    ask_human,
    llm,
    run,
    tool,
)
from agentvm.testing import ScriptedHuman, ScriptedLLM, plain
from agentvm_runtime.mailbox import post
from agentvm_runtime.questions import Question, answer_from_text
from agentvm_runtime.records import Event, EventKind, RunStatus, Source
from agentvm_runtime.values import digest, encode

LOG: list[str] = []


@pytest.fixture(autouse=True)
def log() -> list[str]:
    """What tools did, in order."""
    LOG.clear()
    return LOG


@pytest.fixture
def model() -> ScriptedLLM:
    return ScriptedLLM(lambda call: call.prompt.upper())


@tool
async def write(text: str) -> str:
    LOG.append(text)
    return text


async def suspended(handle) -> str:
    """What a run that is suspended says."""
    with pytest.raises(RunSuspended) as raised:
        await handle.result()
    return str(raised.value)


async def answered(vm, handle, *answers):
    """The result after these answers, `(path, value)` each; the last run of several suspensions."""
    for path, value in answers:
        await vm.answer(handle.id, path, value)
    return await vm.resume(handle.id)


@agent
async def approve(topic: str) -> str:
    draft = await llm(f"draft {topic}")
    await write(f"before {topic}")
    good = await ask_human(f"Is {draft} good?", returns=bool)
    other = await llm(f"independent of the answer, {topic}")
    if good:
        await write(f"publish {draft}")
    return other


async def test_a_run_that_asks_is_suspended_when_all_else_is_done(model):
    """The question is put after earlier writes; work that does not need the answer is done meanwhile."""
    async with AgentVM(store="memory", llm=model) as vm:
        handle = await vm.start(approve, "x")
        said = await suspended(handle)
        assert f"agentvm answer {handle.id} VALUE" in said
        assert "human#1: Is DRAFT X good?  (yes or no)" in said
        assert (await vm.get(handle.id)).status is RunStatus.SUSPENDED
        assert model.prompts == ["draft x", "independent of the answer, x"]
        assert LOG == ["before x"]
        (question,) = await vm.questions(handle)
        assert (question.path, question.text) == ("human#1", "Is DRAFT X good?")

        again = await answered(vm, handle, ("human#1", True))
        assert await again.result() == "INDEPENDENT OF THE ANSWER, X"
        assert len(model.prompts) == 2, "nothing is asked of the model again"
        assert LOG == ["before x", "publish DRAFT X"]
        assert await vm.questions(handle) == []
        events = await vm.store.events(handle.id)
        (done,) = [each for each in events if each.path == "human#1" and each.kind is EventKind.DONE]
        assert done.source is Source.PERSON


async def test_a_suspended_run_that_is_resumed_without_an_answer_is_suspended_again(model):
    """Nothing is done and nothing is asked twice."""
    async with AgentVM(store="memory", llm=model) as vm:
        handle = await vm.start(approve, "x")
        await suspended(handle)
        await suspended(await vm.resume(handle))
        asked = [each for each in await vm.store.events(handle.id) if each.kind is EventKind.ASKED]
        assert len(asked) == 1
        assert len(model.prompts) == 2


class Colour(Enum):
    RED = "red"
    BLUE = "blue"


class Trip(BaseModel):
    to: str
    days: int

    @field_validator("days")
    @classmethod
    def even(cls, days: int) -> int:
        if days % 2:
            raise ValueError("an even number of days, please")
        return days


@agent
async def together() -> list[object]:
    colour, trip = await asyncio.gather(
        ask_human("Which colour?", returns=Colour), ask_human("Where to?", returns=Trip)
    )
    return [colour, trip]


@agent
async def trip_and_colour() -> list[object]:
    trip = await ask_human("Where to?", returns=Trip)
    return [trip, await ask_human("Which colour?", returns=Colour)]


async def test_questions_are_listed_in_the_order_they_were_put(model, tmp_path):
    """By whoever lists them: one that was put again, as its answer was refused, keeps its place."""
    async with AgentVM(store=f"sqlite:///{tmp_path}/runs.db", llm=model) as vm:
        handle = await vm.start(trip_and_colour)
        await suspended(handle)
        said = await suspended(await answered(vm, handle, ("human#1", {"to": "Rome", "days": 3})))
        assert said.index("human#1: Where to?") < said.index("human#2: Which colour?")
        assert [each.path for each in await vm.questions(handle)] == ["human#1", "human#2"]


async def test_questions_that_do_not_need_each_other_are_put_together(model):
    """Under gather both are open at once, and may be answered in any order, each by its type."""
    async with AgentVM(store="memory", llm=model) as vm:
        handle = await vm.start(together)
        said = await suspended(handle)
        assert "Which colour?" in said and "Where to?" in said
        with pytest.raises(InputError, match=r"more than one open question: human#1, human#2\. Say which"):
            await vm.answer(handle, None, "red")
        await vm.answer(handle, "human#2", {"to": "Rome", "days": 4})
        await suspended(await vm.resume(handle))
        assert [each.path for each in await vm.questions(handle)] == ["human#1"]
        again = await answered(vm, handle, ("human#1", "blue"))
        assert await again.result() == [Colour.BLUE, Trip(to="Rome", days=4)]


async def test_an_answer_of_another_type_is_refused_where_it_is_given(model):
    """The JSON Schema of the answer is known to every process."""
    async with AgentVM(store="memory", llm=model) as vm:
        handle = await vm.start(together)
        await suspended(handle)
        with pytest.raises(InputError, match=r"'green' is no answer to 'Which colour\?' \(human#1\)"):
            await vm.answer(handle, "human#1", "green")
        with pytest.raises(InputError, match=r"'days' is a required property"):
            await vm.answer(handle, "human#2", {"to": "Rome"})
        with pytest.raises(InputError, match=r"no open question at 'human#3'\. There is: human#1, human#2"):
            await vm.answer(handle, "human#3", 1)


async def test_an_answer_that_only_the_type_refuses_leaves_the_question_open(model):
    """What a JSON Schema cannot say is checked when the program takes the answer; the reason is told."""
    async with AgentVM(store="memory", llm=model) as vm:
        handle = await vm.start(together)
        await suspended(handle)
        again = await answered(vm, handle, ("human#1", "red"), ("human#2", {"to": "Rome", "days": 3}))
        assert "an even number of days, please" in await suspended(again)
        again = await answered(vm, handle, (None, {"to": "Rome", "days": 2}))
        assert await again.result() == [Colour.RED, Trip(to="Rome", days=2)]


@agent
async def confirm(what: str) -> bool:
    return await ask_human(f"Really {what}?", returns=bool)


@agent
async def interview(limit: int) -> list[str]:
    told = []
    while len(told) < limit:
        word = await ask_human(f"Word {len(told)}?")
        if word == "stop":
            break
        if await confirm(word):
            told.append(word)
    return told


async def test_questions_in_loops_and_sub_agents(model):
    """Each question has a place of its own in the run, and is asked when it is its turn."""
    async with AgentVM(store="memory", llm=model) as vm:
        handle = await vm.start(interview, 3)
        for value in ("a", False, "b", True):
            await suspended(handle)
            (question,) = await vm.questions(handle)
            handle = await answered(vm, handle, (question.path, value))
        await suspended(handle)
        assert [each.text for each in await vm.questions(handle)] == ["Word 1?"]
        handle = await answered(vm, handle, (None, "stop"))
        assert await handle.result() == ["b"]


@agent
async def traced() -> list[str]:
    async with asyncio.TaskGroup() as tasks:
        name = tasks.create_task(ask_human("Name?"))
        greeting = tasks.create_task(llm("greeting"))
    await write(name.result())
    return [greeting.result(), name.result(), await ask_human("More?")]


async def test_questions_in_traced_code(model):
    """Ordinary Python that asks is suspended and replayed like compiled code."""
    async with AgentVM(store="memory", llm=model) as vm:
        handle = await vm.start(traced)
        assert "Name?" in await suspended(handle)
        again = await answered(vm, handle, (None, "Ada"))
        assert "More?" in await suspended(again)
        again = await answered(vm, handle, (None, "no"))
        assert await again.result() == ["GREETING", "Ada", "no"]
        assert LOG == ["Ada"]
        assert model.prompts == ["greeting"]


@agent
async def stubborn() -> str:
    try:
        return await ask_human("Well?")
    except Exception:
        await write("swallowed")
        return "swallowed"


async def test_a_program_does_not_see_that_it_is_suspended(model):
    """No `except Exception` of the agent's catches the suspension."""
    async with AgentVM(store="memory", llm=model) as vm:
        handle = await vm.start(stubborn)
        await suspended(handle)
        assert LOG == []
        again = await answered(vm, handle, (None, "well"))
        assert await again.result() == "well"


async def test_another_machine_answers_a_run_that_goes_on(tmp_path):
    """An answer that comes while the run is driven is taken without suspending it."""
    held = anyio.Event()

    async def hold(call):
        if call.prompt.startswith("independent"):
            await held.wait()
        return call.prompt.upper()

    url = f"sqlite:///{tmp_path}/runs.db"
    async with (
        AgentVM(store=url, llm=ScriptedLLM(hold)) as vm,
        AgentVM(store=url, llm=ScriptedLLM("")) as other,
    ):
        handle = await vm.start(approve, "x")
        async for event in handle.events():
            if event.kind is EventKind.ASKED:
                await other.answer(handle.id, None, True)
            if event.path == "human#1" and event.kind is EventKind.DONE:
                held.set()
        assert await handle.result() == "INDEPENDENT OF THE ANSWER, X"
        assert LOG == ["before x", "publish DRAFT X"]


async def test_a_run_among_busy_tasks_is_suspended_and_hears_answers(model):
    """As in a server, where some task can always go on."""

    async def busy() -> None:
        while True:
            await anyio.lowlevel.checkpoint()

    async with AgentVM(store="memory", llm=model) as vm, anyio.create_task_group() as others:
        others.start_soon(busy)
        with anyio.fail_after(30):
            handle = await vm.start(approve, "x")
            await suspended(handle)
            again = await answered(vm, handle, (None, True))
            assert await again.result() == "INDEPENDENT OF THE ANSWER, X"
        others.cancel_scope.cancel()


async def test_somebody_at_hand_is_asked_at_once(model):
    """With `human=` given, a run is not suspended; what they say is checked and journaled."""
    person = ScriptedHuman({"Is DRAFT X good?": False})
    async with AgentVM(store="memory", llm=model, human=person) as vm:
        handle = await vm.start(approve, "x")
        assert await handle.result() == "INDEPENDENT OF THE ANSWER, X"
        assert [each.path for each in person.requests] == ["human#1"]
        assert LOG == ["before x"]
    async with AgentVM(store="memory", llm=model, human=ScriptedHuman("perhaps")) as vm:
        with pytest.raises(RunFailed, match="not a valid bool"):
            await vm.run(approve, "y")


async def test_plain_python_asks_the_scripted_person():
    """The same agent under `plain(human=...)` is ordinary Python."""
    with plain(llm=lambda call: call.prompt.upper(), human=[True]):
        assert await approve("x") == "INDEPENDENT OF THE ANSWER, X"
    assert LOG == ["before x", "publish DRAFT X"]


async def test_asking_outside_a_run_says_what_to_do():
    """Without a run or a double nobody can be asked."""
    with pytest.raises(ConfigError, match=r"ask_human\(\) was called outside a run"):
        await ask_human("Anybody?")


@tool(effect="read")
async def nosy() -> str:
    return await ask_human("May I?")


@agent
async def asks_in_a_tool() -> str:
    return await nosy()


async def test_a_tool_cannot_ask(model):
    """A tool is recorded as a whole, so it cannot be suspended half-way."""
    async with AgentVM(store="memory", llm=model) as vm:
        with pytest.raises(RunFailed, match="A tool cannot ask"):
            await vm.run(asks_in_a_tool)


def test_the_one_liner_raises_when_it_is_suspended(tmp_path, model):
    """`agentvm.run` does not hang for want of an answer."""
    with pytest.raises(RunSuspended, match="waits for an answer"):
        run(approve, "x", store=f"sqlite:///{tmp_path}/runs.db", llm=model)


@pytest.mark.parametrize(
    ("schema", "text", "value"),
    [
        ({"type": "string"}, "3", "3"),
        ({"type": "string"}, '"quoted"', '"quoted"'),
        ({"type": "integer"}, "3", 3),
        ({"type": "boolean"}, "yes", True),
        ({"type": "boolean"}, "N", False),
        ({"enum": ["red", "blue"], "type": "string"}, "red", "red"),
        ({"anyOf": [{"type": "integer"}, {"type": "string"}]}, "x", "x"),
        ({"type": "array", "items": {"type": "integer"}}, "[1, 2]", [1, 2]),
    ],
)
def test_what_is_typed_becomes_what_is_wanted(schema, text, value):
    """Text where text is wanted, else JSON, and yes or no."""
    assert answer_from_text(Question("human#1", "?", "k", schema, 0.0), text) == value


async def test_an_answer_to_an_interrupted_run_waits_for_its_resume(tmp_path, model):
    """Nobody drives it when the answer comes; the next process takes it and asks nobody again."""
    held = anyio.Event()

    async def hold(call):
        if call.prompt.startswith("independent"):
            held.set()
            await asyncio.Event().wait()
        return call.prompt.upper()

    url = f"sqlite:///{tmp_path}/runs.db"
    async with AgentVM(store=url, llm=ScriptedLLM(hold)) as vm:
        handle = await vm.start(approve, "x")
        async for event in handle.events():
            if event.kind is EventKind.ASKED:
                break
        await held.wait()
    async with AgentVM(store=url, llm=model) as vm:
        assert (await vm.get(handle.id)).status is RunStatus.RUNNING
        await vm.answer(handle.id, "human", True)
        assert await vm.questions(handle.id) == []
        assert await (await vm.resume(handle.id)).result() == "INDEPENDENT OF THE ANSWER, X"
        asked = [each for each in await vm.store.events(handle.id) if each.kind is EventKind.ASKED]
        assert len(asked) == 1
    assert LOG == ["before x", "publish DRAFT X"]


async def test_a_suspended_run_is_cancelled_and_forked(model):
    """Cancelled it asks nothing any more; a fork of it asks for itself, unless the answer is given."""
    async with AgentVM(store="memory", llm=model) as vm:
        handle = await vm.start(approve, "x")
        await suspended(handle)
        fork = await vm.fork(handle.id)
        await suspended(fork)
        assert [each.path for each in await vm.questions(fork)] == ["human#1"]
        given = await vm.fork(handle.id, set={"human#1": False})
        assert await given.result() == "INDEPENDENT OF THE ANSWER, X"
        await vm.cancel(handle)
        assert (await vm.get(handle.id)).status is RunStatus.CANCELLED
        assert await vm.questions(handle) == []
        with pytest.raises(InputError, match="has no open question"):
            await vm.answer(handle, None, True)
        again = await answered(vm, fork, (None, True))
        assert await again.result() == "INDEPENDENT OF THE ANSWER, X"
        assert LOG == ["before x", "publish DRAFT X"]


@pytest.mark.parametrize("first", [True, False])
async def test_of_two_answers_given_at_once_the_first_counts(model, first):
    """Each of two processes found the question open: the run goes by the first answer."""
    async with AgentVM(store="memory", llm=model) as vm:
        handle = await vm.start(approve, "x")
        await suspended(handle)
        record = await vm.get(handle.id)
        open_question = (await vm.questions(handle))[0]
        for value in (first, not first):
            data = encode(value)
            message = Event(EventKind.ANSWERED, open_question.path, key=open_question.key, value=digest(data))
            await post(vm.store, record.id, message, {digest(data): data})
        await (await vm.resume(handle.id)).result()
    assert ("publish DRAFT X" in LOG) is first
