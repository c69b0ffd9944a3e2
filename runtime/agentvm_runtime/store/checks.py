"""What every store refuses, at the call that brings it.

A text the database cannot take must not reach the writer, where it would fail
a whole group of other people's events.
"""

from __future__ import annotations

from agentvm_runtime.errors import StoreError
from agentvm_runtime.records import Event


def check_event(run_id: str, event: Event) -> None:
    """Raises StoreError if a text of the event cannot be stored."""
    try:
        f"{run_id}{event.path}{event.site}{event.node}{event.key}".encode()
    except UnicodeEncodeError as error:
        raise StoreError(f"event {event.path!a}: its text is not valid Unicode ({error.reason})") from None
