"""Which runs are kept."""

from __future__ import annotations

import pytest

from agentvm_runtime.records import Digest, RunRecord, RunStatus
from agentvm_runtime.retention import DAY, Policy, expendable


def run(
    name: str, ended: float, status: RunStatus = RunStatus.COMPLETED, parent: str | None = None
) -> RunRecord:
    """A run that ended so many days after the beginning of time."""
    at = ended * DAY
    return RunRecord(name, "a:b", "p", Digest("i"), at - 1, status, finished_at=at, parent=parent)


RUNS = [
    run("e", 9, parent="b"),
    run("d", 8),
    run("c", 7, RunStatus.SUSPENDED),
    run("b", 6, parent="a"),
    run("a", 5),
    run("z", 4),
]
"""Newest first."""


@pytest.mark.parametrize(
    ("policy", "gone"),
    [
        (Policy(days=1.5), ["z", "d"]),
        (Policy(days=2.5), ["z"]),
        (Policy(last=1), ["z", "d"]),
        (Policy(last=0), ["z", "a", "b", "d", "e"]),
        (Policy(days=0, last=2), ["z"]),
    ],
)
def test_what_a_policy_lets_go(policy: Policy, gone: list[str]):
    """Kept are recent runs, those that are not over, and the ancestors of kept ones."""
    assert [each.id for each in expendable(RUNS, policy, 10 * DAY)] == gone
