"""Values of many kinds come back as they were: dataclasses, enums, sets, tuples, dates, bytes, floats."""

import math
from dataclasses import dataclass
from datetime import date, timedelta
from enum import Enum, IntEnum
from pathlib import PurePosixPath

from pydantic import BaseModel

from agentvm import agent, llm

LOG: list[str] = []


class Colour(Enum):
    RED = "r"
    BLUE = "b"


class Level(IntEnum):
    LOW = 1
    HIGH = 2


@dataclass(frozen=True)
class Point:
    x: int
    y: float = 0.5


class Item(BaseModel):
    name: str
    colour: Colour
    points: list[Point] = []


@agent
async def kinds(word: str) -> dict[object, object]:
    item = await llm(f"item {word}", returns=Item)
    point = await llm(f"point {word}", returns=Point)
    level = await llm(f"level {word}", returns=Level)
    flag = await llm(f"flag {word}", returns=bool)
    return {
        "item": item,
        point: (level, flag, None),
        1: {level: frozenset({1, 2}), True: "overwritten"},
        (1, "a"): [math.inf, -0.0, 1e-300],
        "set": {word, "z"},
        "bytes": word.encode(),
        "date": date(2024, 2, 29) + timedelta(days=int(level)),
        "path": PurePosixPath("a") / word,
        "complex": complex(1, len(word)),
        "range": range(level),
        "colour": Colour("b"),
        "optional": await llm(f"optional {word}", returns=int | None),
    }


@agent
async def shared_parts(word: str) -> list[object]:
    inner = [await llm(f"flag {word}")]
    return [inner, inner, {"inner": inner}]


def script(call):
    kind = call.prompt.split()[0]
    answers = {
        "item": Item(name="i", colour=Colour.RED, points=[Point(1)]),
        "point": Point(2, 3.0),
        "level": Level.HIGH,
        "optional": None,
    }
    return answers.get(kind, "true")


CASES = [(kinds, ("w",), {}), (shared_parts, ("w",), {})]
