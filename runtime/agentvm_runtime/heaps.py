"""Heaps: what `heapq` does to a list, done so that it is known what moves."""

from __future__ import annotations

from typing import Any, TypeAlias

from .certain import Unfit, is_plain
from .undoing import Done


def heap_push(heap: list[Any], item: Any) -> Done:
    """As `heapq.heappush` does it, so that what moves is known."""
    heap.append(item)
    moved: Moved = []

    def undo(newer: list[Any]) -> list[Any]:
        _put_back(newer, moved)
        newer.pop()
        return newer

    try:
        _rise(heap, len(heap) - 1, moved)
    except BaseException:
        undo(heap)
        raise
    return None, undo


def heap_pop(heap: list[Any]) -> Done:
    """As `heapq.heappop` does it."""
    last = heap.pop()
    first = heap[0] if heap else last
    moved: Moved = []

    def undo(newer: list[Any]) -> list[Any]:
        _put_back(newer, moved)
        newer.append(last)
        return newer

    try:
        if heap:
            _place(heap, 0, last, moved)
            _sink(heap, moved)
    except BaseException:
        undo(heap)
        raise
    return first, undo


Moved: TypeAlias = "list[tuple[int, Any]]"
"""What was at some places, in the order in which that changed."""


def _put_back(heap: list[Any], moved: Moved) -> None:
    for at, item in reversed(moved):
        heap[at] = item


def _place(heap: list[Any], at: int, item: Any, moved: Moved) -> None:
    moved.append((at, heap[at]))
    heap[at] = item


def _less(one: Any, other: Any) -> bool:
    if is_plain(one) and is_plain(other):
        return bool(one < other)
    raise Unfit


def _rise(heap: list[Any], at: int, moved: Moved) -> None:
    """Let an item rise to where nothing above it is greater."""
    item = heap[at]
    while at and _less(item, heap[above := (at - 1) >> 1]):
        _place(heap, at, heap[above], moved)
        at = above
    _place(heap, at, item, moved)


def _sink(heap: list[Any], moved: Moved) -> None:
    """Let the first item sink to the bottom, and rise from there."""
    end, at, item = len(heap), 0, heap[0]
    while (below := 2 * at + 1) < end:
        if below + 1 < end and not _less(heap[below], heap[below + 1]):
            below += 1
        _place(heap, at, heap[below], moved)
        at = below
    _place(heap, at, item, moved)
    _rise(heap, at, moved)
