"""What may be done to a run from outside: settling a write in doubt, cancelling."""

from __future__ import annotations

import inspect

import anyio
import pytest

from agentvm import AgentVM, InputError, RunCancelled, RunFailed, UncertainWrite, agent, current, llm, tool
from agentvm.testing import ScriptedLLM
from agentvm_runtime.records import EventKind, RunStatus, Source

LOG: list[str] = []
HANGING: list[anyio.Event] = []
"""Events set when a write hangs; a write hangs if there is one not set."""


@pytest.fixture(autouse=True)
def log() -> list[str]:
    LOG.clear()
    HANGING.clear()
    return LOG


@tool
async def book(seat: str) -> str:
    LOG.append(f"{seat} {current().idempotency_key}")
    if HANGING and not HANGING[0].is_set():
        HANGING[0].set()
        await anyio.sleep_forever()
    return f"booked {seat}"


@agent
async def travel(seat: str) -> list[str]:
    first = await book(seat)
    again = await book(f"{seat} back")
    return [first, again, await llm("bye")]


MODEL = ScriptedLLM("BYE")


async def in_doubt(store, program=travel) -> str:
    """A run that was stopped while its first write was under way."""
    HANGING.append(anyio.Event())
    async with AgentVM(store=store, llm=MODEL) as vm:
        handle = await vm.start(program, "12A")
        await HANGING[0].wait()
    async with AgentVM(store=store, llm=MODEL) as vm:
        with pytest.raises(UncertainWrite):
            await (await vm.resume(handle.id)).result()
    return handle.id


@pytest.fixture
def store(tmp_path) -> str:
    return f"sqlite:///{tmp_path}/runs.db"


async def test_an_uncertain_run_says_how_to_settle_it(store):
    """The message has the three commands, ready to be typed."""
    run = await in_doubt(store)
    async with AgentVM(store=store, llm=MODEL) as vm:
        assert (await vm.get(run)).status is RunStatus.UNCERTAIN
        with pytest.raises(UncertainWrite) as raised:
            await (await vm.resume(run)).result()
    for option in ("--done VALUE", "--retry", "--abort"):
        assert f"agentvm resolve {run} 'book#1' {option}" in str(raised.value)
    line = inspect.getsourcelines(travel.fn)[1] + 2
    assert str(raised.value).startswith(f"book#1 (test_control.py:{line}) was started")


@agent
async def travel_in_traced_code(seat: str) -> list[str]:
    from asyncio import gather as together

    return await together(*[book(each) for each in [seat]])


async def test_a_write_in_doubt_in_traced_code_is_found_by_the_line_around_it(store):
    """The program does not list calls of traced code, but has the statement."""
    run = await in_doubt(store, travel_in_traced_code)
    async with AgentVM(store=store, llm=MODEL) as vm:
        with pytest.raises(UncertainWrite, match=r"^\S*/\S* \(test_control\.py:\d+\) was started"):
            await (await vm.resume(run)).result()


async def test_a_write_that_happened_is_not_repeated(store):
    """Given its result, the run goes on after it."""
    run = await in_doubt(store)
    async with AgentVM(store=store, llm=MODEL) as vm:
        await vm.resolve(run, "book#1", value="by phone")
        assert (await vm.get(run)).status is RunStatus.RUNNING
        assert await (await vm.resume(run)).result() == ["by phone", "booked 12A back", "BYE"]
        events = await vm.store.events(run)
    assert [each.split()[0] for each in LOG] == ["12A", "12A"]
    (done,) = [each for each in events if each.path == "book#1" and each.kind is EventKind.DONE]
    assert done.source is Source.PERSON


async def test_a_write_that_did_not_happen_is_started_again_with_its_key(store):
    """The key is that of the first attempt; a second crash puts it in doubt again."""
    run = await in_doubt(store)
    async with AgentVM(store=store, llm=MODEL) as vm:
        await vm.resolve(run, retry=True)
        HANGING[0] = anyio.Event()
        await vm.resume(run)
        await HANGING[0].wait()
    assert len(set(LOG)) == 1 and len(LOG) == 2
    async with AgentVM(store=store, llm=MODEL) as vm:
        with pytest.raises(UncertainWrite):
            await (await vm.resume(run)).result()
        await vm.resolve(run, "book", retry=True)
        assert await (await vm.resume(run)).result() == ["booked 12A", "booked 12A back", "BYE"]
    assert len(set(LOG)) == 2 and len(LOG) == 4


async def test_a_run_that_is_given_up_stays_so(store):
    """It is cancelled, and a resume does nothing."""
    run = await in_doubt(store)
    async with AgentVM(store=store, llm=MODEL) as vm:
        await vm.resolve(run, abort=True)
        assert (await vm.get(run)).status is RunStatus.CANCELLED
        with pytest.raises(RunCancelled, match="book#1 is in doubt"):
            await (await vm.resume(run)).result()
    assert len(LOG) == 1


async def test_what_cannot_be_settled_is_refused(store):
    """Another node, no write at all, or not exactly one way."""
    run = await in_doubt(store)
    async with AgentVM(store=store, llm=MODEL) as vm:
        with pytest.raises(InputError, match=r"no write in doubt at 'llm#1'. There is: book#1"):
            await vm.resolve(run, "llm#1", value=1)
        with pytest.raises(InputError, match="takes one of"):
            await vm.resolve(run, "book#1")
        with pytest.raises(InputError, match="takes one of"):
            await vm.resolve(run, "book#1", value=1, retry=True)
        await vm.resolve(run, value="x")
        with pytest.raises(InputError, match=r"has no write in doubt\."):
            await vm.resolve(run, value="x")


# -- cancelling ----------------------------------------------------------------------------


@agent
async def endless() -> str:
    booked = await book("1")
    await llm(f"hold {booked}")
    return await book("2")


class Held:
    """A model that holds its call."""

    def __init__(self) -> None:
        self.reached = anyio.Event()
        self.llm = ScriptedLLM(self._answer)

    async def _answer(self, call) -> str:
        self.reached.set()
        await anyio.sleep_forever()
        return ""


async def test_a_run_is_cancelled_from_another_machine(store):
    """The process that drives it hears of it and records it; nothing is journaled after that."""
    held = Held()
    async with AgentVM(store=store, llm=held.llm) as vm, AgentVM(store=store, llm=MODEL) as other:
        handle = await vm.start(endless)
        await held.reached.wait()
        await other.cancel(handle.id)
        assert (await other.get(handle.id)).status is RunStatus.CANCELLED
        events = await other.store.events(handle.id)
        with pytest.raises(RunCancelled, match="was cancelled"):
            await handle.result()
        assert await other.store.events(handle.id) == events
        with pytest.raises(RunCancelled):
            await (await other.resume(handle.id)).result()
    assert len(LOG) == 1


async def test_a_run_of_this_machine_is_cancelled_at_once(store):
    """By its id or its handle, as often as one likes."""
    held = Held()
    async with AgentVM(store=store, llm=held.llm) as vm:
        handle = await vm.start(endless)
        await held.reached.wait()
        await vm.cancel(handle)
        await vm.cancel(handle.id)
        assert handle.record.status is RunStatus.CANCELLED


async def test_a_run_that_nobody_drives_is_cancelled(store):
    """One that was interrupted cannot be resumed any more."""
    held = Held()
    async with AgentVM(store=store, llm=held.llm) as vm:
        handle = await vm.start(endless)
        await held.reached.wait()
    async with AgentVM(store=store, llm=MODEL) as vm:
        await vm.cancel(handle.id)
        with pytest.raises(RunCancelled):
            await (await vm.resume(handle.id)).result()
    assert len(LOG) == 1


async def test_a_finished_run_stays_finished(store):
    """Cancelling it changes nothing."""
    async with AgentVM(store=store, llm=MODEL) as vm:
        handle = await vm.start(travel, "12A")
        result = await handle.result()
        await vm.cancel(handle.id)
        assert (await vm.get(handle.id)).status is RunStatus.COMPLETED
        assert await (await vm.resume(handle.id)).result() == result


# -- idempotency keys ----------------------------------------------------------------------


@tool(idempotent=True, retries=2)
async def pay(amount: int) -> str:
    LOG.append(f"{amount} {current().idempotency_key}")
    if HANGING and not HANGING[0].is_set():
        HANGING[0].set()
        await anyio.sleep_forever()
    if len(LOG) == 2:
        raise ConnectionError("try again")
    return f"paid {amount}"


@agent
async def pays() -> list[str]:
    return [await pay(1), await pay(2)]


async def test_all_attempts_at_a_call_have_one_key(store):
    """When it is cut off, resumed, tried again after an error, and in a fork; other calls have theirs."""
    HANGING.append(anyio.Event())
    async with AgentVM(store=store, llm=MODEL) as vm:
        handle = await vm.start(pays)
        await HANGING[0].wait()
    async with AgentVM(store=store, llm=MODEL) as vm:
        fork = await vm.fork(handle.id)
        assert await fork.result() == ["paid 1", "paid 2"]
        assert await (await vm.resume(handle.id)).result() == ["paid 1", "paid 2"]
    first, *others = LOG
    assert [each.split()[0] for each in LOG] == ["1", "1", "1", "2", "1", "2"]
    assert others[:2] == [first, first], "cut off, then in the fork, after its error"
    assert others[3] == first, "in the run itself"
    assert len({each.split()[1] for each in LOG}) == 3, "the second payments are of two runs"


REFUSALS: list[str] = []


@tool
async def post(text: str) -> str:
    LOG.append(text)
    if text == "second" and REFUSALS:
        raise ConnectionError(REFUSALS.pop())
    return f"posted {text}"


@agent
async def notice(text: str) -> list[str]:
    return [await post("first"), await post(text), await post("last")]


async def test_a_write_that_raised_is_tried_again_when_asked(store):
    """It came to an end, so it is not in doubt; what was written before it is not repeated."""
    LOG.clear()
    REFUSALS[:] = ["closed"]
    async with AgentVM(store=store, llm=MODEL) as vm:
        run = await vm.start(notice, "second")
        with pytest.raises(RunFailed):
            await run.result()
        with pytest.raises(RunFailed):
            await (await vm.resume(run.id)).result()
        assert LOG == ["first", "second"]
        again = await vm.resume(run.id, retry=True)
        assert await again.result() == ["posted first", "posted second", "posted last"]
    assert LOG == ["first", "second", "second", "last"]


async def test_a_run_that_was_given_up_meanwhile_is_not_resumed(store, monkeypatch):
    """What counts is how the run stands when this process has it for itself, not when it was looked up."""
    run = await in_doubt(store)
    async with AgentVM(store=store, llm=MODEL) as vm, AgentVM(store=store, llm=MODEL) as other:
        acquire = vm.store.acquire_lease

        async def after_the_other(*args):
            await other.resolve(run, abort=True)
            return await acquire(*args)

        monkeypatch.setattr(vm.store, "acquire_lease", after_the_other)
        with pytest.raises(RunCancelled):
            await (await vm.resume(run)).result()
        assert (await vm.get(run)).status is RunStatus.CANCELLED
        assert await vm.store.lease_of(run) is None
    assert len(LOG) == 1
