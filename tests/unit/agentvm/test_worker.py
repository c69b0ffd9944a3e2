"""Workers in one process: which runs they take, which they leave, and how they stop."""

from __future__ import annotations

import sys
from collections.abc import AsyncIterator
from dataclasses import replace
from pathlib import Path

import anyio
import anyio.lowlevel
import pytest

from agentvm import AgentVM, InputError, RunFailed, RunSuspended, agent, ask_human, llm
from agentvm.attempts import Attempts
from agentvm.handle import Run
from agentvm.testing import ScriptedLLM
from agentvm.worker import Agents, Options, Worker
from agentvm_compiler.calls import Agent
from agentvm_runtime.errors import RunLeased
from agentvm_runtime.ports import Store
from agentvm_runtime.records import Digest, Event, EventKind, RunRecord, RunStatus
from agentvm_runtime.store import leases, open_store, this_holder
from agentvm_runtime.takeovers import DIED, claimed, deaths
from agentvm_runtime.waiting import Lookout

HELD = [anyio.Event()]
"""The last is set when a model call is held."""


@agent
async def chain(topic: str) -> str:
    first = await llm(f"first {topic}")
    return await llm(f"second {first}")


@agent
async def asks(topic: str) -> str:
    return await ask_human(f"What of {topic}?") + "!"


async def reply(call) -> str:
    if "held" in call.prompt:
        HELD[-1].set()
        await anyio.sleep_forever()
    return call.prompt.upper()


model = ScriptedLLM(reply)


@pytest.fixture
async def store(tmp_path: Path) -> AsyncIterator[Store]:
    store = open_store(f"sqlite:///{tmp_path}/runs.db")
    await store.open()
    yield store
    await store.aclose()


@pytest.fixture
async def vm(store: Store) -> AsyncIterator[AgentVM]:
    """A machine whose runs a worker here can go on with."""
    model.calls.clear()
    async with AgentVM(store=store, llm=model) as vm:
        yield vm


async def drain(store: Store, **options) -> list[str]:
    """What a worker says that works until nothing waits; of its lines all but the run's id."""
    said: list[str] = []
    chosen = Options(llm=f"scripted:{__file__}:model", once=True, interval=0.001, **options)
    await Worker(store, Agents([]), chosen, lambda line: said.append(line.partition(" ")[2])).work()
    return said


async def take(vm: AgentVM, run: str, most: int = 5) -> Run | None:
    """Go on with a run as a worker does, if it waits."""
    async with claimed(vm.store, run, most) as claim:
        return await vm.go_on(claim) if claim is not None else None


TAKEN = f"taken (queued): {__name__}:chain"


@pytest.fixture(autouse=True)
def shared_model(monkeypatch: pytest.MonkeyPatch) -> None:
    """The worker's model is the one in this module, however the spec would load it."""
    monkeypatch.setattr("agentvm.backends.open_llm", lambda spec: model)


async def test_a_queued_run_is_driven_to_its_end(store: Store, vm: AgentVM):
    """Until then it is a row, of which nothing has been done."""
    run = await vm.enqueue(chain, "x")
    assert (await vm.get(run)).status is RunStatus.QUEUED
    assert await store.events(run) == []
    assert await drain(store) == [TAKEN, "completed"]
    assert await (await vm.resume(run)).result() == "SECOND FIRST X"
    assert model.prompts == ["first x", "second FIRST X"]


async def test_runs_are_taken_in_the_order_they_were_queued(store: Store, vm: AgentVM):
    """One at a time, if the worker takes one at a time."""
    for topic in "abc":
        await vm.enqueue(chain, topic)
    assert await drain(store, concurrency=1) == [TAKEN, "completed"] * 3
    assert model.prompts[::2] == ["first a", "first b", "first c"]


async def test_a_queued_run_may_be_resumed_or_cancelled_without_a_worker(store: Store, vm: AgentVM):
    """It is a run like others: whoever takes its lease drives it, and a cancelled one is no worker's."""
    first, second = await vm.enqueue(chain, "x"), await vm.enqueue(chain, "y")
    assert await (await vm.resume(first)).result() == "SECOND FIRST X"
    await vm.cancel(second)
    assert await drain(store) == []
    assert (await vm.get(second)).status is RunStatus.CANCELLED


async def test_an_interrupted_run_goes_on_where_it_was(store: Store, vm: AgentVM):
    """What its journal has is not asked of the model again."""
    async with AgentVM(store=store, llm=model) as other:
        run = await other.start(chain, "held", memo=False)
        await HELD[-1].wait()
    HELD.append(anyio.Event())
    assert (await vm.get(run.id)).status is RunStatus.RUNNING
    said: list[str] = []
    async with anyio.create_task_group() as tasks:
        worker = Worker(store, Agents([]), Options(llm="x", interval=0.001), said.append)
        tasks.start_soon(worker.work)
        await HELD[-1].wait()
        tasks.cancel_scope.cancel()
    assert said[0] == f"{run.id} taken (running): {__name__}:chain"
    assert said[1].startswith(f"{run.id} let go")
    assert await store.lease_of(run.id) is None
    assert (await vm.get(run.id)).status is RunStatus.RUNNING, "it can be taken again"


async def test_a_suspended_run_is_taken_when_it_is_answered(store: Store, vm: AgentVM):
    """Not before, and its questions are read again only when something was said to it."""
    run = await vm.start(asks, "tea")
    with pytest.raises(RunSuspended):
        await run.result()
    lookout = Lookout(store)
    assert await lookout.look() == await lookout.look() == []
    assert await drain(store) == []
    await vm.answer(run, value="milk")
    assert [each.id for each in await lookout.look()] == [run.id]
    assert await drain(store) == [f"taken (suspended): {__name__}:asks", "completed"]
    assert await (await vm.resume(run)).result() == "milk!"


async def test_a_run_that_somebody_drives_is_not_taken(store: Store, vm: AgentVM):
    """Nor is one that has ended since it was seen waiting."""
    run = await vm.enqueue(chain, "x")
    lease = await store.acquire_lease(run, this_holder(), 60.0)
    assert await drain(store) == []
    with pytest.raises(RunLeased):
        await take(vm, run)
    await store.release_lease(lease)
    assert await drain(store) == [TAKEN, "completed"]
    assert await take(vm, run) is None
    assert await store.lease_of(run) is None
    resumptions = [each for each in await store.events(run) if each.kind is EventKind.RESUMED]
    assert len(resumptions) == 1


async def test_a_missed_deadline_is_not_a_workers_to_extend(store: Store, vm: AgentVM):
    """It counts from when the run was queued; only a person lets a run finish after it."""
    run = await vm.enqueue(chain, "x", deadline=1e-6)
    said = await drain(store)
    assert said[1].startswith("deadline_missed: Run")
    assert await drain(store) == []
    assert model.prompts == [], "nothing of it has begun"
    assert await (await vm.resume(run)).result() == "SECOND FIRST X"


async def test_a_run_whose_code_is_not_there_is_left_alone(store: Store, vm: AgentVM, tmp_path: Path):
    """It is said once, whatever else goes on; another worker that has the code takes it."""
    source = "from agentvm import agent\n@agent\nasync def there() -> str:\n    return 'found'\n"
    (tmp_path / "moved_agents.py").write_text(source)
    (given,) = Agents([tmp_path / "moved_agents.py"])._given.values()
    run = await vm.enqueue(given)
    record = await vm.get(run)
    store.revise_run(replace(record, meta={**record.meta, "file": "/nowhere/moved_agents.py"}))
    del sys.modules["moved_agents"]
    await vm.enqueue(chain, "x")
    said = await drain(store)
    assert said[0].startswith("left alone: The agent moved_agents:there was in /nowhere/moved_agents.py")
    assert said[1:] == [TAKEN, "completed"]
    worker = Worker(
        store, Agents([tmp_path / "moved_agents.py"]), Options(llm="x", once=True), lambda line: None
    )
    await worker.work()
    assert await (await vm.resume(run, agent=given)).result() == "found"


async def test_code_that_is_not_the_runs_is_not_run(tmp_path: Path):
    """A process has one module of a name: another folder's, or an edited one, is another worker's to run."""
    source = "from agentvm import agent\n@agent\nasync def one() -> int:\n    return 1\n"
    here, there = tmp_path / "here" / "twins.py", tmp_path / "there" / "twins.py"
    for file in (here, there):
        file.parent.mkdir()
        file.write_text(source)
    async with AgentVM(store="memory", llm=model) as vm:
        (given,) = Agents([here])._given.values()
        record = await vm.get(await vm.enqueue(given))
        agents = Agents([])
        assert agents.find(record) is given
        with pytest.raises(InputError, match="Start another worker"):
            agents.find(replace(record, meta={"file": str(there)}))
        here.write_text(source.replace("1", "2"))
        with pytest.raises(InputError, match="has changed since"):
            agents.find(record)


async def test_a_new_run_is_no_workers(store: Store, vm: AgentVM):
    """From its first moment in the store it has a lease; an id is taken whoever drives the run."""
    seen: list[bool] = []
    create = store.create_run

    async def watched(record, values) -> None:
        await create(record, values)
        seen.append(await store.lease_of(record.id) is not None)

    store.create_run = watched
    run = await vm.start(chain, "x", run_id="mine")
    with pytest.raises(InputError, match="mine exists already"):
        await vm.start(chain, "x", run_id="mine")
    await run.result()
    with pytest.raises(InputError, match="mine exists already"):
        await vm.start(chain, "x", run_id="mine")
    assert seen == [True]
    assert await store.lease_of("mine") is None


def dead_holder() -> str:
    """A process of this host that has ended."""
    host, _, _ = this_holder().partition(":")
    return f"{host}:{2**22 + 1}:nobody"


async def die(store: Store, run: str) -> None:
    """Leave a run as a process does that is killed while it drives it."""
    if await store.lease_of(run) is None:
        await store.acquire_lease(run, dead_holder(), 100.0)
    await store.set_status(run, RunStatus.RUNNING).wait()


async def take_and_die(store: Store, vm: AgentVM, run: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """Take a run as a worker does, and get no further than that."""
    with monkeypatch.context() as patch:
        patch.setattr(Attempts, "release", lambda self, lease: anyio.lowlevel.checkpoint())
        HELD.append(anyio.Event())
        handle = await take(vm, run)
        assert handle is not None
        await HELD[-1].wait()
        handle._session.stop(RunLeased("killed"))
        with pytest.raises(RunLeased):
            await handle.result()
    leases.give_up((await store.lease_of(run)).holder)


async def test_a_run_whose_processes_die_is_set_aside(
    store: Store, vm: AgentVM, monkeypatch: pytest.MonkeyPatch
):
    """After the fifth in a row the worker says so, and takes it no more; a person goes on with it."""
    run = await vm.enqueue(chain, "held")
    await die(store, run)
    for _ in range(4):
        await take_and_die(store, vm, run, monkeypatch)
    [said] = await drain(store)
    assert said.startswith(f"failed: Run {run} was set aside: 5 processes in a row died")
    assert f"agentvm resume {run} --retry" in said
    assert (await vm.get(run)).status is RunStatus.FAILED
    with pytest.raises(RunFailed, match="set aside"):
        await (await vm.resume(run)).result()
    assert await drain(store) == []
    async with AgentVM(store=store, llm=ScriptedLLM(lambda call: "done")) as other:
        assert await (await other.resume(run, retry=True)).result() == "done"


class Killed(BaseException):
    """Stands for the end of a process."""


async def load_and_die(store: Store, run: str, error: BaseException, monkeypatch: pytest.MonkeyPatch) -> None:
    """Work as a process whose end comes when it loads the run's code."""
    with monkeypatch.context() as patch:
        patch.setattr(type(store), "release_lease", lambda self, lease: anyio.lowlevel.checkpoint())
        worker = Worker(store, Loads(error), Options(llm="x", once=True), lambda line: None)
        with pytest.raises(BaseExceptionGroup):
            await worker.work()
    leases.give_up((await store.lease_of(run)).holder)


class Loads:
    """Finds no agent: loading it raises."""

    def __init__(self, error: BaseException) -> None:
        self.error = error

    def find(self, record: RunRecord) -> Agent:
        raise self.error


async def test_a_run_whose_code_kills_who_loads_it_is_set_aside(
    store: Store, vm: AgentVM, monkeypatch: pytest.MonkeyPatch
):
    """Who loads it has taken its lease, and journaled that, before it touches any of it."""
    run = await vm.enqueue(chain, "x")
    for _ in range(4):
        await load_and_die(store, run, Killed(), monkeypatch)
    assert [DIED in each.detail for each in await store.events(run)] == [True] * 3
    [said] = await drain(store, deaths=4)
    assert said.startswith(f"failed: Run {run} was set aside: 4 processes in a row died")


async def test_a_worker_without_the_code_is_no_help(
    store: Store, vm: AgentVM, monkeypatch: pytest.MonkeyPatch
):
    """It takes the run over and lets go of it; the deaths so far are counted on."""
    run = await vm.enqueue(chain, "held")
    for count in (1, 2, 3):
        await take_and_die(store, vm, run, monkeypatch)
        said: list[str] = []
        missing = Loads(InputError("its code is not here"))
        await Worker(store, missing, Options(llm="x", once=True), said.append).work()
        assert said == [f"{run} left alone: its code is not here"]
        assert deaths(await store.events(run)) == count
    assert await store.lease_of(run) is None


async def test_what_makes_progress_is_not_set_aside(
    store: Store, vm: AgentVM, monkeypatch: pytest.MonkeyPatch
):
    """A new result, or somebody who resumes it, begins the count anew; a limit of 0 is none."""
    run = await vm.enqueue(chain, "held")
    await die(store, run)
    for _ in range(4):
        await take_and_die(store, vm, run, monkeypatch)
    journal = await store.events(run)
    assert deaths(journal) == 4
    asked = Event(EventKind.RESUMED, "")
    done = Event(EventKind.DONE, "llm#1", value=Digest("0" * 40))
    volatile = Event(EventKind.DONE, "python#1")
    assert [deaths([*journal, each]) for each in (asked, done, volatile)] == [0, 0, 4]
    assert await take(vm, run, most=0) is not None
