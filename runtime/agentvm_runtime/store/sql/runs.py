"""The rows of runs."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from typing import Any

from agentvm_compiler.errors import InputError
from agentvm_runtime.mailbox import mailbox_of
from agentvm_runtime.records import (
    Digest,
    Event,
    RunRecord,
    RunStatus,
)
from agentvm_runtime.store import rows
from agentvm_runtime.store import statements as sql
from agentvm_runtime.store.checks import check_event, check_run
from agentvm_runtime.store.pending import Pending
from agentvm_runtime.store.transaction import Transaction

from .access import Access
from .leasing import check_held
from .numbering import add_event


class Runs(Access):
    """Runs, and how they stand."""

    async def create_run(self, run: RunRecord, values: Mapping[Digest, bytes]) -> None:
        check_run(run)
        row = rows.run_row(run)

        def work(transaction: Transaction) -> None:
            if transaction.execute(sql.ADD_RUN, row) == 0:
                raise InputError(f"run {run.id} exists already; choose another id")
            transaction.put_values(values)

        await self._opened().submit_aside(work).wait()

    async def add_run(
        self,
        run: RunRecord,
        journal: Sequence[Event],
        values: Mapping[Digest, bytes],
        mail: Sequence[Event] = (),
    ) -> None:
        check_run(run)
        given = [(run.id, each) for each in journal] + [(mailbox_of(run.id), each) for each in mail]
        for name, each in given:
            check_event(name, each)
        row = rows.run_row(run)
        named = [rows.event_row(name, each) for name, each in given]

        def work(transaction: Transaction) -> None:
            if transaction.execute(sql.ADD_RUN, row) == 0:
                raise InputError(f"run {run.id} exists already; choose another id")
            transaction.put_values(values)
            for each in named:
                add_event(transaction, each)

        await self._submit(work).wait()

    async def get_run(self, run_id: str) -> RunRecord | None:
        return await self._one(sql.GET_RUN, {"id": run_id}, rows.run_of)

    async def list_runs(
        self,
        *,
        agent: str | None = None,
        status: RunStatus | None = None,
        limit: int = 100,
        before: RunRecord | None = None,
    ) -> list[RunRecord]:
        query = sql.list_runs(agent is not None, status is not None, before is not None)
        wanted: dict[str, Any] = {"agent": agent, "status": status and status.value, "limit": limit}
        if before is not None:
            wanted |= {"before_at": before.created_at, "before_id": before.id}
        return await self._read(lambda reader: [rows.run_of(r) for r in reader.rows(query, wanted)])

    def set_status(
        self,
        run_id: str,
        status: RunStatus,
        *,
        result: Digest | None = None,
        error: Digest | None = None,
        finished_at: float | None = None,
        values: Mapping[Digest, bytes] | None = None,
        holder: str | None = None,
    ) -> Pending:
        row = {
            "run_id": run_id,
            "status": status.value,
            "result": result,
            "error": error,
            "finished_at": finished_at,
        }

        def work(transaction: Transaction) -> None:
            check_held(transaction, run_id, holder)
            if transaction.execute(sql.SET_STATUS, row) == 0:
                raise InputError(f"there is no run {run_id}")
            transaction.put_values(values)

        return self._submit(work)

    def revise_run(self, run: RunRecord, *, holder: str | None = None) -> Pending:
        row = {
            "run_id": run.id,
            "program": run.program,
            "meta": json.dumps(run.meta),
            "deadline_at": run.deadline_at,
        }

        def work(transaction: Transaction) -> None:
            check_held(transaction, run.id, holder)
            if transaction.execute(sql.REVISE_RUN, row) == 0:
                raise InputError(f"there is no run {run.id}")

        return self._submit(work)

    async def forks(self, run_id: str) -> list[RunRecord]:
        wanted = {"parent": run_id}
        return await self._read(lambda reader: [rows.run_of(r) for r in reader.rows(sql.GET_FORKS, wanted)])
