"""The mixed workload of a small engine: lognormal lengths, three classes alike."""

from __future__ import annotations

import random
from typing import Final

from agentvm_serving.goodput import SloClass

from .items import Call, Item
from .lengths import Lengths
from .scales import SMALL, Scale

CHAT: Final = (Lengths(60, 0.6, 400), Lengths(40, 0.7, 200))
"""Input and output tokens of a chat turn."""
REPORT: Final = (Lengths(80, 0.6, 400), Lengths(70, 0.7, 300))
RESEARCH: Final = (Lengths(80, 0.6, 400), Lengths(40, 0.6, 150))


def mixed(count: int, rate: float, seed: int, scale: Scale = SMALL) -> list[Item]:
    """Latency, deadline and compound items 1:1:1, in a Poisson process.

    Args:
        count: items in all.
        rate: items a second, on average.
    """
    draws = random.Random(seed)
    items: list[Item] = []
    at = 0.0
    for number in range(count):
        at += draws.expovariate(rate)
        kind: SloClass = draws.choice(("latency", "deadline", "compound"))
        items.append(_item(f"{kind}-{number}", kind, at, draws, scale))
    return items


def _item(name: str, kind: SloClass, at: float, draws: random.Random, scale: Scale) -> Item:
    def call(lengths: tuple[Lengths, Lengths]) -> Call:
        return Call(lengths[0].draw(draws), lengths[1].draw(draws))

    if kind == "latency":
        stages: tuple[tuple[Call, ...], ...] = ((call(CHAT),),)
        return Item(name, kind, at, stages, "chat", ttft=scale.ttft, tbt=scale.tbt, limit=CHAT[1].most)
    if kind == "deadline":
        stages = ((call(REPORT),),)
        return Item(name, kind, at, stages, "report", within=scale.within, limit=REPORT[1].most)
    stages = tuple(
        tuple(call(RESEARCH) for _ in range(draws.choice((1, 1, 2, 3))))
        for _ in range(draws.choice((2, 3, 4)))
    )
    return Item(
        name,
        kind,
        at,
        stages,
        f"research{len(stages)}",
        within=scale.within * len(stages),
        gap=draws.uniform(0, 1),
        limit=RESEARCH[1].most,
    )
