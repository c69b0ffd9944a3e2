"""K-medoids: a few of many things that stand for them all."""

from __future__ import annotations

from collections.abc import Callable, Sequence

ROUNDS = 5


def medoids(
    weights: Sequence[float], distance: Callable[[int, int], float], count: int
) -> dict[int, list[int]]:
    """Choose at most so many of the things 0, 1, ... and assign each thing to its nearest.

    Begins with those that are farthest apart, so that what is rare but different
    is kept, and then moves each to the middle of its own (Park and Jun, 2009).
    O(n * (count + n / count) * rounds) distances.

    Returns:
        the chosen, each with its members, itself among them.
    """
    things = range(len(weights))
    centers = [max(things, key=lambda each: weights[each])]
    nearest = [distance(each, centers[0]) for each in things]
    while len(centers) < min(count, len(weights)):
        farthest = max(things, key=lambda each: nearest[each])
        if nearest[farthest] == 0:
            break
        centers.append(farthest)
        nearest = [min(known, distance(each, farthest)) for each, known in zip(things, nearest, strict=True)]
    members = _assigned(things, centers, distance)
    for _ in range(ROUNDS):
        moved = [_middle(weights, distance, of) for of in members.values()]
        if moved == list(members):
            break
        members = _assigned(things, moved, distance)
    return members


def _assigned(
    things: Sequence[int], centers: Sequence[int], distance: Callable[[int, int], float]
) -> dict[int, list[int]]:
    members: dict[int, list[int]] = {center: [center] for center in centers}
    for each in things:
        if each not in members:
            members[min(centers, key=lambda center: distance(each, center))].append(each)
    return members


def _middle(weights: Sequence[float], distance: Callable[[int, int], float], of: Sequence[int]) -> int:
    return min(of, key=lambda center: sum(weights[each] * distance(each, center) for each in of))
