"""The stores' statements."""

from __future__ import annotations

import json

from agentvm_runtime.store import statements


def test_the_texts_kept_for_sqlite_are_those_that_the_tables_give() -> None:
    """What is read instead of being compiled is what would be. After a change: scripts/statements.py."""
    kept = json.loads(statements.TEXTS.read_text(encoding="utf-8"))
    assert kept == {name: each.compiled for name, each in statements.named().items()}


def test_every_statement_has_a_name_of_its_own() -> None:
    """Lists of runs, which are made by what is asked for, too."""
    names = statements.named()
    assert {"ADD_EVENT", "GET_SHARED_AHEAD", "LIST_RUNS", "LIST_RUNS_AGENT_STATUS_BEFORE"} <= names.keys()
    assert statements.list_runs(True, False, False) is names["LIST_RUNS_AGENT"]


def test_a_statement_without_a_name_is_compiled() -> None:
    """As those of a migration, or of a test."""
    made = statements.plain(statements.select(statements.schema.meta.c.name))
    assert made.sqlite == "SELECT meta.name \nFROM meta"
