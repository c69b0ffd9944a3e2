"""SIGKILL at appends, values, commits and tools of a program with writes, in every mode and database."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

PROGRAM = Path(__file__).with_name("crash_points.py")
STRIDE = int(os.environ.get("AGENTVM_CRASH_STRIDE", "31"))
"""Every so many points are tried; 1 tries all of them."""


def lives(url: str, mode: str, folder: Path) -> list[dict[str, Any]]:
    paths = os.pathsep.join(entry for entry in sys.path if entry)
    first = {"strict": 1, "group": 4, "exit": 7}[mode] % STRIDE + 1
    done = subprocess.run(
        [sys.executable, str(PROGRAM), url, mode, str(folder), str(first), str(STRIDE)],
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
def places(request: pytest.FixtureRequest, tmp_path: Path) -> str:
    """The URL of a new place for each point."""
    if request.param == "postgres":
        new: Callable[[], str] = request.getfixturevalue("postgres_url")
        return f"{new()}_{{n}}"
    return f"sqlite+aiosqlite:///{tmp_path}/{{n}}.db"


@pytest.mark.parametrize("mode", ["strict", "group", "exit"])
def test_a_kill_at_any_point_loses_and_repeats_nothing(places: str, mode: str, tmp_path: Path) -> None:
    """The answer is the same, recorded calls are not made again, writes not twice unless declared so."""
    found = lives(places, mode, tmp_path)
    killed, last = found[:-1], found[-1]
    assert last["survived"] == 0
    assert len(killed) >= 100 // STRIDE
    for each in killed:
        if not each["began"]:
            assert each["happened"] == [] and each["recorded"] == 0
            continue
        assert each["result"] == expected(), each
        assert each["again"] == [], each
        assert all(what.startswith("publish") for what in each["repeated"]), each
        assert each["uncertain"] <= 1
        whats = [what for what, _ in each["happened"]]
        assert len(set(whats)) == 7 and len(set(map(tuple, each["happened"]))) == 7, each
