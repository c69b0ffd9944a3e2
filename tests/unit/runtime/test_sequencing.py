"""What traced code does and is given is told in the journal, and comes in the same order on resume."""

from __future__ import annotations

import asyncio

import pytest

from agentvm_runtime import sequencing
from agentvm_runtime.records import SINCE, Event, EventKind
from agentvm_runtime.sequencing import Sequencer, Ticket


class Region:
    """A traced region whose calls end when a test says so; writes down what its journal would have."""

    def __init__(self, journal: list[Event] | None = None) -> None:
        self.recorded = {each.path: each for each in journal or ()}
        self.order = Sequencer("traced#1", journal or ())
        self.journal: list[Event] = list(journal or ())
        self.given: list[str] = []

    async def call(self, name: str, ticket: Ticket | None = None, seconds: float | None = None) -> None:
        ticket = ticket or self.order.call(name)
        with ticket:
            if f"traced#1/{name}" in self.recorded:
                await ticket.due()
            else:
                if seconds is not None:
                    await asyncio.sleep(seconds)
                self.note(EventKind.DONE, ticket)
                await ticket.behind()
                await ticket.apart()
        self.given.append(name)

    def note(self, kind: EventKind, ticket: Ticket) -> None:
        since = ticket.done() if kind is EventKind.DONE else ticket.begun()
        detail = {} if since is None else {SINCE: since}
        self.journal.append(Event(kind, f"traced#1/{ticket.name}", detail=detail, seq=len(self.journal) + 1))

    @property
    def told(self) -> list[str | None]:
        return [each.detail.get(SINCE) for each in self.journal]


async def test_calls_one_after_the_other_need_no_words():
    """Each is made when the one before has given its result."""
    region = Region()
    for number in range(1, 4):
        await region.call(str(number), seconds=0.001)
    assert region.told == [None, None, None]


async def test_the_journal_tells_calls_and_results_between_its_events():
    """How many calls were made, which results were given, in order, and how soon."""
    region = Region()
    first, second, third = (region.order.call(f"t{number}.1") for number in (1, 2, 3))
    region.note(EventKind.DONE, second)
    region.note(EventKind.INTENT, third)
    await asyncio.sleep(0.01)
    with second:
        pass
    region.order.call("t2.2")
    region.note(EventKind.DONE, first)
    assert region.told == ["+3", "", "t2.1 +1"]


async def test_what_was_cancelled_before_it_was_given_is_told():
    """Its result is in the journal, but the program never saw it."""
    region = Region()
    cancelled, other = region.order.call("t1.1"), region.order.call("t2.1")
    region.note(EventKind.DONE, cancelled)
    cancelled.__exit__(asyncio.CancelledError, GeneratorExit(), None)
    region.note(EventKind.DONE, other)
    assert region.told == ["+2", "-t1.1"]


async def test_what_was_never_given_is_not_given_on_resume():
    """What cancelled the call the first time does so again."""
    first = Region()
    cancelled, other = first.order.call("t1.1"), first.order.call("t2.1")
    first.note(EventKind.DONE, cancelled)
    cancelled.__exit__(asyncio.CancelledError, GeneratorExit(), None)
    first.note(EventKind.DONE, other)
    again = Region(first.journal)
    again.order.call("t2.1")
    with pytest.raises(TimeoutError):
        await asyncio.wait_for(again.call("t1.1"), 0.05)
    assert again.given == []


async def test_on_resume_results_come_in_the_order_in_which_they_were_given():
    """Not in that in which they were journaled, nor in that of the calls."""
    first = Region()
    write, read, last = (first.order.call(f"t{number}.1") for number in (1, 2, 3))
    first.note(EventKind.DONE, write)
    first.note(EventKind.DONE, read)
    await asyncio.sleep(0.01)
    with read:  # while the write waits for its commit
        await asyncio.sleep(0.01)
    with write:
        await asyncio.sleep(0.01)
    first.note(EventKind.DONE, last)

    again = Region(first.journal)
    await asyncio.gather(*(again.call(f"t{number}.1") for number in (3, 1, 2)))
    assert again.given == ["t2.1", "t1.1", "t3.1"]


async def test_a_recorded_result_waits_for_the_calls_that_were_under_way():
    """Also for one that nothing is recorded of."""
    first = Region()
    quick, _ = first.order.call("t1.1"), first.order.call("t2.1")
    first.note(EventKind.DONE, quick)
    again = Region(first.journal)

    async def late() -> None:
        for _ in range(30):
            await asyncio.sleep(0)
        again.given.append("asks")
        again.order.call("t2.1")

    await asyncio.gather(again.call("t1.1"), late())
    assert again.given == ["asks", "t1.1"]


async def test_new_results_come_behind_recorded_ones():
    """However fast they are now."""
    first = Region()
    tickets = [first.order.call(f"t{number}.1") for number in (1, 2)]
    first.note(EventKind.DONE, tickets[0])
    again = Region(first.journal)
    await asyncio.gather(again.call("t2.1"), again.call("t1.1"))
    assert again.given == ["t1.1", "t2.1"]


async def test_who_resumes_tells_all_there_is_to_tell():
    """The journal of two processes is as good as that of one."""
    first = Region()
    tickets = {name: first.order.call(name) for name in ("t1.1", "t2.1", "t3.1")}
    first.note(EventKind.DONE, tickets["t2.1"])
    second = Region(first.journal)
    await asyncio.gather(
        second.call("t1.1", seconds=0.03), second.call("t2.1"), second.call("t3.1", seconds=0.01)
    )
    third = Region(second.journal)
    await asyncio.gather(*(third.call(name) for name in ("t1.1", "t2.1", "t3.1")))
    assert third.given == second.given == ["t2.1", "t3.1", "t1.1"]


async def test_what_does_not_come_is_not_waited_for(monkeypatch: pytest.MonkeyPatch):
    """Calls that wait for a pause of the code's own, or are no part of the program any more."""
    monkeypatch.setattr(sequencing, "_PAUSE", 0.001)
    first = Region()
    tickets = [first.order.call(f"t{number}.1") for number in range(1, 5)]
    for each in tickets:
        first.note(EventKind.DONE, each)
    again = Region(first.journal)
    async with asyncio.timeout(5):
        await asyncio.gather(again.call("t4.1"), again.call("t2.1"), again.call("t9.1"))
    assert again.given == ["t2.1", "t4.1", "t9.1"]


async def test_a_program_that_never_rests_gets_its_results():
    """At first and on resume: results wait for calls that are recorded, not for others."""

    async def poll(region: Region) -> None:
        result = asyncio.ensure_future(region.call("t1.1", seconds=0.01))
        while not result.done():
            with region.order.call("1") as _:
                await asyncio.sleep(0)

    region = Region()
    async with asyncio.timeout(5):
        await poll(region)
        await poll(Region(region.journal))


async def test_results_of_one_turn_are_given_one_after_the_other():
    """In an order that can be had again; but nobody waits for long."""
    region = Region()
    gate = asyncio.Event()

    async def one(name: str) -> None:
        ticket = region.order.call(name)
        await gate.wait()
        await region.call(name, ticket)

    tasks = [asyncio.ensure_future(one(f"t{number}.1")) for number in range(1, 40)]
    await asyncio.sleep(0.01)
    gate.set()
    async with asyncio.timeout(5):
        await asyncio.gather(*tasks)
    assert len(region.given) == 39


async def test_code_in_another_thread_waits_for_nobody():
    """Nobody could say in which order threads go on."""
    first = Region()
    tickets = [first.order.call(f"t{number}.1") for number in (1, 2)]
    for each in tickets:
        first.note(EventKind.DONE, each)
    again = Region(first.journal)
    async with asyncio.timeout(5):
        await asyncio.to_thread(lambda: asyncio.run(again.call("t2.1")))
    assert again.given == ["t2.1"]


async def test_a_call_that_is_cancelled_while_it_waits_lets_others_come():
    """As by a timeout of the program's."""
    first = Region()
    tickets = [first.order.call(f"t{number}.1") for number in (1, 2, 3)]
    for each in reversed(tickets):
        first.note(EventKind.DONE, each)
    again = Region(first.journal)
    waiting = [asyncio.ensure_future(again.call(f"t{number}.1")) for number in (3, 2)]
    await asyncio.sleep(0)
    await asyncio.sleep(0)
    waiting[0].cancel()
    async with asyncio.timeout(5):
        await asyncio.gather(waiting[1], again.call("t1.1"))
    assert again.given == ["t2.1", "t1.1"]
