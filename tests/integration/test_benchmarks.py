"""The benchmarks work: with a handful of nodes each gives what it announces. Never how fast it is."""

from __future__ import annotations

import math
from argparse import Namespace
from collections.abc import Callable, Iterator
from typing import Any

import pytest

from benchmarks.runtime import peers, tables
from benchmarks.runtime.__main__ import SECTIONS, cases, measure
from benchmarks.runtime.peers import Peers, versions

TINY = Namespace(thousand=12, only="")


@pytest.fixture(scope="module")
def installed() -> Iterator[Peers]:
    """The peers of this environment; on most machines there are none."""
    with peers.installed() as found:
        yield found


@pytest.mark.parametrize("section", SECTIONS)
async def test_every_figure_is_measured(
    section: str, installed: Peers, request: pytest.FixtureRequest
) -> None:
    """A section gives all figures that its rows announce, and those of the peers that are installed."""
    new: Callable[[], str] | None = request.getfixturevalue("postgres_url") if section == "postgres" else None
    for case in cases(section, TINY):
        measured = await measure(case, 1, 1, installed, new)
        assert set(measured.peers) == set(case.peers) & set(installed.names)
        for row, figure in zip(case.rows, measured.figures(), strict=True):
            assert figure["name"] == row.name
            assert math.isfinite(figure["median"])
            assert len(tables.cells(figure)) == len(tables.COLUMNS)


@pytest.mark.parametrize("peer", peers.PEERS)
def test_a_missing_peer_is_told(peer: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """Who wants the comparison reads how to get it."""

    def none(_: str) -> str:
        raise peers.PackageNotFoundError

    monkeypatch.setattr(peers, "version", none)
    assert versions(peer) is None
    assert peers.told(peer) == f"{peer}: not installed (pip install 'agentvm[bench]')"


def test_a_row_says_what_was_missed_and_by_how_much() -> None:
    """The median is compared with the goal, and the peer with the median."""
    figure: dict[str, Any] = {
        "name": "chain",
        "unit": "us/node",
        "goal": 120,
        "met": False,
        "median": 240.4,
        "best": 100.0,
        "cpu": None,
        "floor": 6.0,
        "x floor": 40.07,
        "peers": {"dbos": 2404.0},
        "x peers": {"dbos": 10.0},
    }
    assert tables.cells(figure) == [
        "chain", "us/node", "120", "240 !", "100", "", "6", "40.1", "", "2,404 (10x)",
    ]  # fmt: skip
