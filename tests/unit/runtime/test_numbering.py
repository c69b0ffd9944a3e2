"""Tasks of traced code keep their numbers, whatever the order in which they start."""

from __future__ import annotations

import random

from agentvm_runtime.numbering import Tasks
from agentvm_runtime.records import Event, EventKind


def event(path: str, key: str) -> Event:
    return Event(EventKind.DONE, f"traced#1/{path}", key=key)


def numbers(tasks: Tasks, *keys: str, parent: str = "") -> list[int]:
    return [tasks.number(parent, lambda _, key=key: key)[0] for key in keys]


def test_tasks_are_numbered_in_the_order_of_their_first_calls():
    """Each within the task that started it."""
    tasks = Tasks("traced#1")
    assert numbers(tasks, "a", "a", "b") == [1, 2, 3]
    assert numbers(tasks, "a", "b", parent="t2.") == [1, 2]


def test_a_task_is_known_again_by_its_first_call():
    """In any order; those of which nothing is recorded get the numbers that are left."""
    recorded = [event(f"t{number}.1", f"key {number}") for number in (1, 2, 4, 6)]
    for seed in range(20):
        order = list(range(1, 8))
        random.Random(seed).shuffle(order)
        tasks = Tasks("traced#1", recorded)
        found = dict(zip(order, numbers(tasks, *(f"key {number}" for number in order)), strict=True))
        assert {number: found[number] for number in (1, 2, 4, 6)} == {1: 1, 2: 2, 4: 4, 6: 6}
        assert sorted(found.values()) == list(range(1, 8))


def test_equal_calls_are_taken_in_order():
    """They say nothing of which task is which."""
    recorded = [event(f"t{number}.1", "same") for number in (1, 2, 3)]
    assert numbers(Tasks("traced#1", recorded), "same", "same", "same", "same") == [1, 2, 3, 4]


def test_keys_may_depend_on_the_path():
    """As those of sampled answers and of questions to people do."""
    recorded = [
        event(f"t{number}.1", f"{asked} at traced#1/t{number}.1") for number, asked in ((1, "a"), (2, "b"))
    ]
    tasks = Tasks("traced#1", recorded)
    assert tasks.number("", lambda path: f"b at {path}") == (2, [])
    assert tasks.number("", lambda path: f"a at {path}") == (1, [])


def test_only_first_calls_of_the_region_itself_count():
    """Not later ones, not those of the region's own task, and not what calls do within them."""
    recorded = [event("t1.2", "a"), event("1", "a"), event("t1.1/tool#1", "a"), event("t2.t1.1", "a")]
    assert numbers(Tasks("traced#1", recorded), "a") == [1]
    assert numbers(Tasks("traced#1", recorded), "b", "a", parent="t2.") == [2, 1]


def test_what_a_changed_program_passes_over_is_told():
    """Its call gets another number, and who is recorded there must still come."""
    recorded = [event("t1.1", "a")]
    number, skipped = Tasks("traced#1", recorded).number("", lambda _: "b")
    assert (number, skipped) == (2, recorded)
