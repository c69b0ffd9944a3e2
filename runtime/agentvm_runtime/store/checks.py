"""What every store refuses, at the call that brings it.

A text the database cannot take must not reach the writer, where it would fail
a whole group of other people's events.
"""

from __future__ import annotations

from agentvm_compiler.errors import InputError
from agentvm_runtime.errors import StoreError
from agentvm_runtime.mailbox import is_mailbox
from agentvm_runtime.records import Event, RunRecord


def check_event(run_id: str, event: Event) -> None:
    """Raises StoreError if a text of the event cannot be stored."""
    text = f"{run_id}{event.path}{event.site}{event.node}{event.key}"
    if text.isascii() and "\0" not in text:
        return
    if fault := _fault(text):
        raise StoreError(f"event {event.path!a}: its text {fault}")


def check_run(run: RunRecord) -> None:
    """Raises InputError if a text of the run cannot be stored, or its id is taken for a mailbox's."""
    if is_mailbox(run.id):
        raise InputError(f"run {run.id!a}: journals of that name are mailboxes; choose another id")
    if fault := _fault(f"{run.id}{run.agent}{run.program}{run.parent}"):
        raise InputError(f"run {run.id!a} of agent {run.agent!a}: its text {fault}")


def _fault(text: str) -> str:
    if "\0" in text:
        return "has a NUL character, which PostgreSQL cannot store"
    try:
        text.encode()
    except UnicodeEncodeError as error:
        return f"is not valid Unicode ({error.reason})"
    return ""
