"""SIGKILL at appends, values, commits and tools of a program with writes, in every mode and database."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import tempfile
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

PROGRAM = Path(__file__).with_name("crash_points.py")
STRIDES = {"sqlite": 5, "postgresql": 31}
"""Every so many points are tried; AGENTVM_CRASH_STRIDE=1 tries all of them."""


def stride_of(url: str) -> int:
    return int(os.environ.get("AGENTVM_CRASH_STRIDE", STRIDES[url.partition("+")[0]]))


def lives(url: str, mode: str, folder: Path) -> list[dict[str, Any]]:
    paths = os.pathsep.join(entry for entry in sys.path if entry)
    stride = stride_of(url)
    first = {"strict": 1, "group": 4, "exit": 7}[mode] % stride + 1
    done = subprocess.run(
        [sys.executable, str(PROGRAM), url, mode, str(folder), str(first), str(stride)],
        capture_output=True,
        text=True,
        env=os.environ | {"PYTHONPATH": paths},
    )
    assert done.returncode == 0, done.stderr
    found = [json.loads(line) for line in done.stdout.splitlines()]
    assert not [each for each in found if "broken" in each], done.stderr
    return found


def expected() -> list[str]:
    plan = "<plan tea>"
    drafts = [f"<draft seen {plan} {number}>" for number in range(6)]
    receipts = [f"published {each}" for each in drafts[1:4]]
    reviews = [f"<review {each}>" for each in receipts]
    last = f"<sum up published {reviews[0]}>"
    return [f"saved {drafts[0]}", f"saved {drafts[4]} after {receipts[2]}", f"saved {last}", *reviews]


@pytest.fixture(params=["sqlite", "postgres"])
def places(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[str]:
    """The URL of a new place for each point."""
    if request.param == "postgres":
        new: Callable[[], str] = request.getfixturevalue("postgres_url")
        yield f"{new()}_{{n}}"
        return
    # A kill leaves the system's cache of files alone: nothing is lost by keeping them in memory.
    memory = Path("/dev/shm")
    with tempfile.TemporaryDirectory(dir=memory if os.access(memory, os.W_OK) else tmp_path) as folder:
        yield f"sqlite+aiosqlite:///{folder}/{{n}}.db"


@pytest.mark.parametrize("mode", ["strict", "group", "exit"])
def test_a_kill_at_any_point_loses_and_repeats_nothing(places: str, mode: str, tmp_path: Path) -> None:
    """The answer is the same, nothing acknowledged is lost or made again, no write made twice unless declared
    so; also if the resume is killed, too."""
    found = lives(places, mode, tmp_path)
    killed, last = found[:-1], found[-1]
    assert last["survived"] == 0
    assert len(killed) >= 100 // stride_of(places)
    assert max(each.get("acknowledged", 0) for each in killed) > 27
    for each in killed:
        assert each["lost"] == [], each
        if not each["began"]:
            assert each["happened"] == [] and each["recorded"] == 0
            continue
        assert each["result"] == expected(), each
        assert each["again"] == [], each
        assert all(what.startswith("publish") for what in each["repeated"]), each
        assert each["uncertain"] <= 1
        whats = [what for what, _ in each["happened"]]
        assert len(set(whats)) == 7 and len(set(map(tuple, each["happened"]))) == 7, each
