"""What AgentVM is compared with: LangGraph and DBOS, both on SQLite, where they are installed.

`pip install 'agentvm[bench]'` installs them. Each peer is measured in a process of
its own, so that neither its threads nor its memory touch our figures. Its module
has a function for each figure; what a peer cannot do is missing there. Every
program is written in the form that is fastest for that peer.
"""

from __future__ import annotations

import importlib
import multiprocessing
from collections.abc import Iterator
from contextlib import contextmanager
from importlib.metadata import PackageNotFoundError, version
from multiprocessing.pool import Pool

from benchmarks.runtime.figures import Asked, Found, Place

PEERS = {"langgraph": ("langgraph", "langgraph-checkpoint-sqlite"), "dbos": ("dbos",)}
"""The distributions each of them needs."""


def versions(peer: str) -> str | None:
    """What is installed of a peer, or None if something is missing."""
    try:
        return ", ".join(f"{name} {version(name)}" for name in PEERS[peer])
    except PackageNotFoundError:
        return None


def told(peer: str) -> str:
    """A line that says which version is compared, or how to get one."""
    return f"{peer}: " + (versions(peer) or "not installed (pip install 'agentvm[bench]')")


class Peers:
    """The processes of those that are installed."""

    def __init__(self, pools: dict[str, Pool]) -> None:
        self._pools = pools

    @property
    def names(self) -> list[str]:
        return list(self._pools)

    def measure(self, peer: str, asked: Asked, place: Place) -> Found:
        """What a peer's function finds."""
        return self._pools[peer].apply(_measure, (peer, asked, place))


@contextmanager
def installed(wanted: bool = True) -> Iterator[Peers]:
    """The peers that are installed, each in a process that has imported it."""
    spawn = multiprocessing.get_context("spawn")
    pools = {name: spawn.Pool(1) for name in PEERS if wanted and versions(name) is not None}
    try:
        yield Peers(pools)
    finally:
        for pool in pools.values():
            pool.terminate()
            pool.join()


def _measure(peer: str, asked: Asked, place: Place) -> Found:
    module = importlib.import_module(f"{__name__}.{peer}_peer")
    found: Found = getattr(module, asked.function)(place, **asked.arguments)
    return found
