"""Forks: what is inherited, what is done again, and what may be overridden."""

from __future__ import annotations

from dataclasses import dataclass

import anyio
import pytest

from agentvm import AgentVM, InputError, RunFailed, UncertainWrite, agent, llm, tool
from agentvm.testing import ScriptedLLM
from agentvm_runtime import opening
from agentvm_runtime.annals import annals
from agentvm_runtime.errors import StoreError
from agentvm_runtime.forking import Fork
from agentvm_runtime.records import RunStatus
from agentvm_runtime.session import Session
from agentvm_runtime.store.memory import MemoryStore

SENT: list[str] = []
LOOKS: list[str] = []
STATE = {"stock": 1}


@dataclass
class Review:
    ok: bool
    text: str


@tool
async def send(text: str) -> str:
    SENT.append(text)
    return f"sent {text}"


@tool(effect="read")
async def look(what: str) -> int:
    LOOKS.append(what)
    return STATE["stock"]


@tool
async def order(count: int) -> str:
    STATE["stock"] += count
    return "ordered"


@agent
async def note(topic: str) -> str:
    plan = await llm(f"plan {topic}")
    return await llm(f"note on {plan}")


@agent
async def flow(topic: str, tone: str = "dry") -> str:
    facts = await llm(f"facts about {topic}")
    style = await llm(f"style {tone}")
    draft = await llm(f"draft from {facts}")
    receipt = await send(style)
    return await llm(f"polish {draft} in {style}") + f"; {receipt}"


@agent
async def mapped(topic: str) -> list[str]:
    notes = [await note(f"{topic} {number}") for number in range(3)]
    summary = await llm(f"sum up {len(notes)}")
    return [*notes, summary]


@agent
async def reviewed(topic: str) -> str:
    draft = await llm(f"draft {topic}")
    for _ in range(3):
        review = await llm(f"review {draft}", returns=Review)
        if review.ok:
            break
        draft = await llm(f"revise {draft}: {review.text}")
    return draft


@agent
async def shop(wanted: int) -> list[int]:
    before = await look("before")
    count = wanted * 2
    await order(count)
    after = await look("after")
    return [before, after]


@pytest.fixture(autouse=True)
def clean():
    SENT.clear()
    LOOKS.clear()
    STATE["stock"] = 1


class Bench:
    """A store, and a model that numbers its answers, so that an answer tells when it was made."""

    def __init__(self, *, near: bool = True) -> None:
        self.store = MemoryStore()
        self.store.near = near
        self.model = ScriptedLLM(lambda call: f"<{call.prompt}>")
        self.run = ""

    async def run_of(self, program, *args):
        async with AgentVM(store=self.store, llm=self.model) as vm:
            run = await vm.start(program, *args)
            result = await run.result()
        self.run = run.id
        return result

    async def fork(self, of: str = "", **how):
        """The result of a fork and what the model was asked for it."""
        model = ScriptedLLM(lambda call: f"({call.prompt})" if call.returns is str else Review(True, "fine"))
        async with AgentVM(store=self.store, llm=model) as vm:
            run = await vm.fork(of or self.run, **how)
            self.last = run.id
            return await run.result(), model.prompts

    async def resume(self, run: str):
        model = ScriptedLLM(lambda call: "never")
        async with AgentVM(store=self.store, llm=model) as vm:
            record = await vm.get(run)
            await self.store.set_status(record.id, "running").wait()
            return await (await vm.resume(run)).result(), model.prompts


@pytest.fixture(params=[True, False], ids=["near", "far"])
def bench(request: pytest.FixtureRequest) -> Bench:
    """With a store that is asked for single events, and one of whose journals pieces are read."""
    return Bench(near=request.param)


async def test_a_fork_without_overrides_executes_nothing(bench: Bench):
    """All is inherited: results of the model, and of writes."""
    result = await bench.run_of(flow, "bees")
    assert await bench.fork() == (result, [])
    assert SENT == ["<style dry>"]


@pytest.mark.parametrize("name", ["draft", "llm#3"])
async def test_a_given_result_changes_only_its_cone(bench: Bench, name: str):
    """What does not depend on it is inherited, though it ran later; a sibling's write is not repeated."""
    await bench.run_of(flow, "bees")
    result, prompts = await bench.fork(set={name: "MINE"})
    assert prompts == ["polish MINE in <style dry>"]
    assert result == "(polish MINE in <style dry>); sent <style dry>"
    assert SENT == ["<style dry>"]


async def test_a_place_may_be_done_again(bench: Bench):
    """`at` alone asks for another draw."""
    await bench.run_of(flow, "bees")
    _, prompts = await bench.fork(at="draft")
    assert prompts == [
        "draft from <facts about bees>",
        "polish (draft from <facts about bees>) in <style dry>",
    ]


async def test_a_write_in_the_cone_is_made(bench: Bench):
    """A write whose arguments are others is another write."""
    await bench.run_of(flow, "bees")
    result, _ = await bench.fork(set={"style": "wild"})
    assert SENT == ["<style dry>", "wild"]
    assert result.endswith("; sent wild")


async def test_inputs_may_be_set(bench: Bench):
    """What depends on the input is done again, the rest is kept; equal inputs change nothing."""
    await bench.run_of(flow, "bees")
    _, prompts = await bench.fork(set={"tone": "warm"})
    assert prompts == ["style warm", "polish <draft from <facts about bees>> in (style warm)"]
    assert (await bench.fork(set={"tone": "dry"}))[1] == []


async def test_early_cutoff(bench: Bench):
    """Within the cone, what comes out as before ends it."""
    await bench.run_of(mapped, "bees")
    _, prompts = await bench.fork(set={"notes": ["a", "b", "c"]})
    assert prompts == []
    _, prompts = await bench.fork(set={"notes": ["a", "b"]})
    assert prompts == ["sum up 2"]


async def test_an_override_within_a_called_agent(bench: Bench):
    """The call is gone through again, its siblings are not."""
    await bench.run_of(mapped, "bees")
    result, prompts = await bench.fork(at="map#1[1]/note#1/llm#1")
    assert prompts == ["plan bees 1", "note on (plan bees 1)"]
    assert result[0] == "<note on <plan bees 0>>"
    assert result[1] == "(note on (plan bees 1))"


async def test_a_called_agent_may_be_done_again_as_a_whole(bench: Bench):
    """Nothing within it is inherited."""
    await bench.run_of(mapped, "bees")
    _, prompts = await bench.fork(at="map#1[2]/note#1")
    assert prompts == ["plan bees 2", "note on (plan bees 2)"]


async def test_an_iteration_is_named_by_its_path(bench: Bench):
    """A variable of several places is refused with a list of them; a typed value is converted."""
    bench.model = ScriptedLLM(
        lambda call: f"<{call.prompt}>" if call.returns is str else Review("<revise" in call.prompt, "short")
    )
    await bench.run_of(reviewed, "bees")
    with pytest.raises(
        InputError, match=r"'review' is 2 places of run .*: for#1\[0\]/llm#2, for#1\[1\]/llm#2"
    ):
        await bench.fork(set={"review": {"ok": True, "text": ""}})
    result, prompts = await bench.fork(set={"for#1[0]/llm#2": {"ok": True, "text": "fine"}})
    assert (result, prompts) == ("<draft bees>", [])
    with pytest.raises(InputError, match="does not fit"):
        await bench.fork(set={"for#1[0]/llm#2": {"good": 1}})


async def test_names_at_a_place(bench: Bench):
    """With `at`, a name is first what the node there gives or reads."""
    await bench.run_of(flow, "bees")
    _, prompts = await bench.fork(at="llm#4", set={"draft": "MINE"})
    assert prompts == ["polish MINE in <style dry>"]
    _, prompts = await bench.fork(at="draft", set={"draft": "MINE"})
    assert prompts == ["polish MINE in <style dry>"]


async def test_unknown_places_are_refused(bench: Bench):
    """Nothing is written, and the message says what a place may be called."""
    await bench.run_of(flow, "bees")
    for wrong in ("llm#9", "nothing", "for#1[0]/llm#1", "llm#1/llm#1", "llm#1[0]"):
        with pytest.raises(InputError, match="has no place"):
            await bench.fork(at=wrong)
    assert len(await bench.store.list_runs()) == 1


async def test_forks_of_forks(bench: Bench):
    """A fork inherits from all before it; the nearest counts."""
    await bench.run_of(flow, "bees")
    await bench.fork(set={"style": "wild"})
    first = bench.last
    result, prompts = await bench.fork(first, set={"draft": "MINE"})
    assert (result, prompts) == ("(polish MINE in wild); sent wild", ["polish MINE in wild"])
    second = bench.last
    result, prompts = await bench.fork(second, at="draft")
    assert prompts == ["draft from <facts about bees>", "polish (draft from <facts about bees>) in wild"]
    assert SENT == ["<style dry>", "wild"]
    assert [each.id for each in await bench.store.forks(first)] == [second]


async def test_a_fork_is_resumed(bench: Bench):
    """Resumed, it keeps its overrides and executes nothing again."""
    await bench.run_of(flow, "bees")
    result, _ = await bench.fork(set={"draft": "MINE"})
    assert await bench.resume(bench.last) == (result, [])


async def test_reads_after_a_new_write_are_made_anew(bench: Bench):
    """What was read before the write is inherited, what comes after it must see it; so on resume."""
    assert await bench.run_of(shop, 1) == [1, 3]
    result, _ = await bench.fork(set={"count": 5})
    assert result == [1, 8]
    assert LOOKS == ["before", "after", "after"]
    assert await bench.resume(bench.last) == ([1, 8], [])
    assert LOOKS == ["before", "after", "after"]


async def test_a_run_under_way_is_forked(bench: Bench):
    """What it has done durably is inherited; what it does later is not."""
    waiting, go_on = anyio.Event(), anyio.Event()

    async def script(call):
        if call.prompt.startswith("draft") and not waiting.is_set():
            waiting.set()
            await go_on.wait()
        return f"<{call.prompt}>"

    async with AgentVM(store=bench.store, llm=ScriptedLLM(script)) as vm:
        run = await vm.start(flow, "bees")
        await waiting.wait()
        other = await vm.fork(run.id, set={"draft": "MINE"})
        assert await other.result() == "<polish MINE in <style dry>>; sent <style dry>"
        go_on.set()
        assert (
            await run.result() == "<polish <draft from <facts about bees>> in <style dry>>; sent <style dry>"
        )
    journal = [each.path for each in await bench.store.events(other.id)]
    assert "llm#1" not in journal


async def test_the_failure_that_ended_a_run_is_tried_again(bench: Bench):
    """A fork of a failed run is one more attempt."""

    def script(call):
        if call.prompt.startswith("polish"):
            raise ConnectionError("down")
        return f"<{call.prompt}>"

    bench.model = ScriptedLLM(script)
    async with AgentVM(store=bench.store, llm=bench.model) as vm:
        run = await vm.start(flow, "bees")
        with pytest.raises(RunFailed):
            await run.result()
    _, prompts = await bench.fork(run.id)
    assert prompts == ["polish <draft from <facts about bees>> in <style dry>"]


@tool
async def stuck(text: str) -> str:
    """Never comes to its end, unless it is called again."""
    SENT.append(text)
    if len(SENT) == 1:
        await anyio.sleep_forever()
    return f"again {text}"


@agent
async def sticks(topic: str) -> str:
    name = await llm(f"name {topic}")
    return await stuck(name)


@agent
async def sticks_edited(topic: str) -> str:
    await llm("something new")
    name = await llm(f"name {topic}")
    return await stuck(name)


@agent
async def sticks_within(topic: str) -> str:
    return await sticks(topic)


@agent
async def sticks_in_traced_code(topic: str) -> str:
    from asyncio import gather as together  # traced code

    (name,) = await together(llm(f"name {topic}"))
    return await stuck(name)


async def in_doubt(bench: Bench, program) -> str:
    """A run that was stopped in the middle of a write."""
    async with AgentVM(store=bench.store, llm=bench.model) as vm:
        run = await vm.start(program, "bees")
        while not SENT:
            await anyio.lowlevel.checkpoint()
    return run.id


async def test_a_write_of_unknown_outcome_is_not_repeated_by_a_fork(bench: Bench):
    """It may have happened; given its result, or asked to do it again, the fork goes on."""
    run = await in_doubt(bench, sticks)
    async with AgentVM(store=bench.store, llm=bench.model) as vm:
        fork = await vm.fork(run)
        with pytest.raises(UncertainWrite, match=f"agentvm resolve {fork.id} 'stuck#1' --done"):
            await fork.result()
        await vm.resolve(fork, value="by hand")
        assert await (await vm.resume(fork)).result() == "by hand"
    assert await bench.fork(run, set={"stuck": "done"}) == ("done", [])
    assert SENT == ["<name bees>"]


async def refused(bench: Bench, of: str, **how) -> str:
    """A fork of a run that stops rather than repeat a write in doubt; its id."""
    async with AgentVM(store=bench.store, llm=bench.model) as vm:
        fork = await vm.fork(of, **how)
        with pytest.raises(UncertainWrite, match="was started before"):
            await fork.result()
        with pytest.raises(UncertainWrite, match="was started before"):
            await (await vm.resume(fork.id)).result()
    return fork.id


@pytest.mark.parametrize("program", [sticks, sticks_within, sticks_in_traced_code])
async def test_no_fork_repeats_a_write_in_doubt_before_somebody_says_so(bench: Bench, program):
    """Wherever the write stands; nor does a fork of a fork, one of edited code, or one that is resumed."""
    run = await in_doubt(bench, program)
    fork = await refused(bench, run)
    forks_fork = await refused(bench, fork)
    if program is sticks:
        await refused(bench, run, agent=sticks_edited)
        await refused(bench, fork, agent=sticks_edited)
    assert SENT == ["<name bees>"]
    async with AgentVM(store=bench.store, llm=bench.model) as vm:
        await vm.resolve(forks_fork, retry=True)
        assert await (await vm.resume(forks_fork)).result() == "again <name bees>"
    assert SENT == ["<name bees>"] * 2
    await refused(bench, fork)
    assert SENT == ["<name bees>"] * 2


async def test_a_fork_with_edited_code(bench: Bench):
    """What the edit does not touch is inherited, wherever it stands now."""
    await bench.run_of(flow, "bees")

    @agent
    async def edited(topic: str, tone: str = "dry") -> str:
        await llm("something new")
        facts = await llm(f"facts about {topic}")
        style = await llm(f"style {tone}")
        draft = await llm(f"essay from {facts}")
        receipt = await send(style)
        return await llm(f"polish {draft} in {style}") + f"; {receipt}"

    _, prompts = await bench.fork(agent=edited)
    assert sorted(prompts) == [
        "essay from <facts about bees>",
        "polish (essay from <facts about bees>) in <style dry>",
        "something new",
    ]
    assert SENT == ["<style dry>"]


@tool
async def bounce(text: str) -> str:
    SENT.append(text)
    raise ValueError("no such address")


@agent
async def bounces(topic: str) -> str:
    name = await llm(f"name {topic}")
    return await bounce(name)


async def test_a_failed_write_is_not_repeated_by_a_fork(bench: Bench):
    """It may have happened all the same: it is made again only where `at` says so."""
    async with AgentVM(store=bench.store, llm=bench.model) as vm:
        run = await vm.start(bounces, "bees")
        with pytest.raises(RunFailed):
            await run.result()
    with pytest.raises(RunFailed, match="no such address"):
        await bench.fork(run.id)
    assert SENT == ["<name bees>"]
    with pytest.raises(RunFailed, match="no such address"):
        await bench.fork(run.id, at="bounce")
    assert SENT == ["<name bees>", "<name bees>"]


@agent
async def long_chain(length: int, topic: str) -> str:
    text, notes = topic, topic
    for number in range(length):
        text = await llm(f"{number} {text[:30]}")
        notes = text + notes[:10]
    return f"{text}; {notes}"


@pytest.mark.parametrize("at", [1, 5, 9])
async def test_a_loop_begins_where_it_is_overridden(bench: Bench, monkeypatch: pytest.MonkeyPatch, at: int):
    """Iterations before are not gone through; what they left is carried on, in forks of forks too."""
    await bench.run_of(long_chain, 10, "bees")
    path = f"for#1[{at}]/llm#1"
    found = await bench.fork(set={path: "MINE"})
    first = bench.last
    again = await bench.fork(first, at="for#1[9]/llm#1")
    second = bench.last
    assert await bench.resume(second) == (again[0], [])
    opened: list[str] = []
    load = Session.recorded
    monkeypatch.setattr(Session, "recorded", lambda s, work: (opened.append(work.path), load(s, work))[1])
    assert await bench.fork(set={path: "MINE"}) == found
    assert not [each for each in opened if any(each.startswith(f"for#1[{n}]") for n in range(at))]
    monkeypatch.setattr(opening, "skips_of", lambda *_: [])
    assert await bench.fork(set={path: "MINE"}) == found
    assert await bench.fork(first, at="for#1[9]/llm#1") == again


async def test_nothing_is_skipped_on_other_inputs(bench: Bench):
    """With another input the iterations before are others."""
    await bench.run_of(long_chain, 4, "bees")
    _, prompts = await bench.fork(set={"topic": "ants", "for#1[2]/llm#1": "MINE"})
    assert prompts == ["0 ants", "1 (0 ants)", "3 MINE"]


@agent
async def wide(count: int) -> list[str]:
    """Without a loop of which iterations could be skipped."""
    return [await llm(f"item {number}") for number in range(count)]


@pytest.mark.parametrize("near", [True, False], ids=["near", "far"])
async def test_what_was_inherited_piece_by_piece_is_what_was_recorded(near: bool):
    """A fork that goes through all of a long parent has all of it, and asks the model nothing."""
    bench = Bench(near=near)
    result = await bench.run_of(wide, 300)
    assert await bench.fork() == (result, [])
    assert await bench.fork(bench.last) == (result, [])


async def test_pieces_cost_no_more_than_all(monkeypatch: pytest.MonkeyPatch):
    """Who asks for much that is not there is soon given all there is."""
    bench = Bench(near=False)
    await bench.run_of(long_chain, 300, "bees")
    asked: list[int] = []
    peek = MemoryStore.peek

    def peeked(store, run_id, **what):
        found = peek(store, run_id, **what)
        asked.append(len(found))
        return found

    monkeypatch.setattr(MemoryStore, "peek", peeked)
    length = await bench.store.last_seq(bench.run)
    there = await annals(bench.store, bench.run, Fork(length), None)
    assert not any(there.at(f"other#{number}") for number in range(1000))
    assert len(asked) <= 2 + length // 100
    assert sum(asked) <= 2 * length
    assert there.at("for#1[7]/llm#1")


@pytest.mark.parametrize("near", [True, False], ids=["near", "far"])
@pytest.mark.parametrize("length", [100, 1000])
async def test_a_fork_reads_what_it_comes_to(monkeypatch: pytest.MonkeyPatch, near: bool, length: int):
    """Not its ancestors' journals, however long they are: until it does something new, as much is read."""
    bench, read, seen = Bench(near=near), [], []
    peek, events = MemoryStore.peek, MemoryStore.events

    def peeked(store, run_id, **what):
        found = peek(store, run_id, **what)
        read.extend([run_id] * (1 if near else len(found)))
        return found

    async def journal(store, run_id, wanted=None):
        read.extend([run_id] * len(await events(store, run_id)))
        return await events(store, run_id, wanted)

    await bench.run_of(long_chain, length, "bees")
    at = f"for#1[{length - 2}]/llm#1"
    await bench.fork(set={at: "MINE"})
    first = bench.last
    monkeypatch.setattr(MemoryStore, "peek", peeked)
    monkeypatch.setattr(MemoryStore, "events", journal)
    for parent, most in ((bench.run, 10 if near else 250), (first, 20 if near else 300)):
        read.clear()
        model = ScriptedLLM(lambda call: seen.append(len(read)) or "new")
        async with AgentVM(store=bench.store, llm=model) as vm:
            fork = await vm.fork(parent, set={at: f"MINE after {parent}"})
            await fork.result()
        assert seen.pop() <= most


async def test_a_store_that_cannot_be_read_is_no_failure_of_a_fork(bench: Bench):
    """The fork stops, whatever the agent catches, and can go on when the store is there again."""
    await bench.run_of(flow, "bees")
    peek = bench.store.peek

    def broken(run_id, **what):
        if what.get("path") == "llm#2":
            raise StoreError("the disk is gone")
        return peek(run_id, **what)

    if not bench.store.near:
        return
    bench.store.peek = broken
    with pytest.raises(StoreError, match="the disk is gone"):
        await bench.fork(at="llm#3")
    bench.store.peek = peek
    async with AgentVM(store=bench.store, llm=ScriptedLLM(lambda call: "new")) as vm:
        [fork] = await bench.store.forks(bench.run)
        assert fork.status is RunStatus.RUNNING
        assert (await (await vm.resume(fork.id)).result()).startswith("new")


@agent
async def roll(head: str, *names: str, **marks: int) -> str:
    return await llm(f"{head}: {names} {marks}")


async def test_an_input_beside_any_number_of_others_is_set():
    """Inputs of `*names` and `**marks` are taken over as they were given."""
    async with AgentVM(store="memory", llm=ScriptedLLM(lambda call: call.prompt)) as vm:
        run = await vm.start(roll, "old", "ann", "bob", ann=1)
        await run.result()
        fork = await vm.fork(run.id, set={"head": "new"})
        assert await fork.result() == "new: ('ann', 'bob') {'ann': 1}"
