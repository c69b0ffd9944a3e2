"""Removing runs, and what nothing refers to any more.

All in one transaction that keeps other writers out: whoever writes next sees
what is gone, and writes a value again that it needs again.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence

from agentvm_runtime.mailbox import mailbox_of
from agentvm_runtime.records import Collected
from agentvm_runtime.retention import DAY, OVER

from . import leases, rows
from . import statements as sql
from .transaction import Transaction

_DIGEST = re.compile(r"\b[0-9a-f]{40}\b")


def collect(transaction: Transaction, run_ids: Sequence[str], now: float) -> Collected:
    """Remove these runs, as far as they have ended and no other run was forked from them since.

    Expired results that runs share go, too, and those of the removed runs.
    """
    transaction.alone()
    wanted = set(run_ids)
    removed = [each for each in run_ids if _may_go(transaction, each, wanted, now)]
    memo = 0
    for each in removed:
        transaction.execute(sql.DROP_RUN, {"id": each})
        for journal in (each, mailbox_of(each)):
            transaction.execute(sql.DROP_EVENTS, {"run_id": journal})
        memo += transaction.execute(sql.DROP_MEMO_OF, {"run_id": each})
    memo += transaction.execute(sql.DROP_EXPIRED_MEMO, {"now": now})
    # Not at once: a process that was only stopped goes on under its lease, if nobody took the run.
    transaction.execute(sql.DROP_EXPIRED_LEASES, {"now": now - DAY})
    for digest in dict.fromkeys(_mentioned(transaction)):
        transaction.execute(sql.ADD_ROOT, {"digest": digest})
    values = transaction.execute(sql.DROP_VALUES, {})
    transaction.execute(sql.DROP_CHUNKS, {})
    transaction.execute(sql.DROP_ROOTS, {})
    transaction.shrink()
    return Collected(tuple(removed), values, memo)


def _may_go(transaction: Transaction, run_id: str, others: set[str], now: float) -> bool:
    row = transaction.row(sql.GET_RUN, {"id": run_id})
    if row is None or rows.run_of(row).status not in OVER:
        return False
    lease = transaction.row(sql.GET_LEASE, {"run_id": run_id})
    if lease is not None and leases.in_force(rows.lease_of(lease), now):
        return False
    return all(rows.run_of(each).id in others for each in transaction.rows(sql.GET_FORKS, {"parent": run_id}))


def _mentioned(transaction: Transaction) -> Iterator[str]:
    """Everything that looks like a digest in what accompanies runs and events."""
    for statement in (sql.GET_METAS, sql.GET_DETAILS):
        for (text,) in transaction.rows(statement, {}):
            yield from _DIGEST.findall(text)
