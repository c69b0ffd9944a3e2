"""Numbers of events: without gaps in each journal, looked up only where somebody else may have given one."""

from __future__ import annotations

from typing import Any

from agentvm_runtime.store import statements as sql
from agentvm_runtime.store.transaction import Transaction


def add_event(transaction: Transaction, row: dict[str, Any]) -> None:
    """Write an event behind the last one of its journal; `row` gets its number."""
    run_id, ends = row["run_id"], transaction.ends
    last = ends.get(run_id)
    if last is None:
        found = transaction.row(sql.LAST_SEQ, {"run_id": run_id})
        last = 0 if found is None else int(found[0])
    row["seq"] = ends[run_id] = last + 1
    transaction.write(sql.ADD_EVENT, row)
