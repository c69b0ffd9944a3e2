"""Support triage: tickets are sorted and answered; a person decides where money is at stake.

    agentvm run examples/support_triage.py:triage -i 'tickets=["Where is my parcel?", "Give my money back!"]'
    agentvm answer RUN yes            # what it asks; then: agentvm resume RUN

All tickets are worked on at once. A run that waits for a person takes no memory and
no process: it is suspended in the store, for days if need be. Replies are sent in
the order of the tickets, each once, whatever crashes in between.
"""

import json
import os
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from agentvm import agent, ask_human, current, llm, tool

Kind = Literal["question", "complaint", "refund"]
OUTBOX = Path(os.environ.get("TRIAGE_OUTBOX", "outbox.jsonl"))


@dataclass
class Handled:
    ticket: str
    kind: str
    sent: bool


@tool(idempotent=True)
def send(reply: str) -> str:
    """Send a reply. The key makes a repeated call harmless, so it may be retried after a crash."""
    key = current().idempotency_key
    lines = OUTBOX.read_text().splitlines() if OUTBOX.exists() else []
    if not any(json.loads(line)["key"] == key for line in lines):
        with OUTBOX.open("a") as outbox:
            outbox.write(json.dumps({"key": key, "reply": reply}) + "\n")
    return key


@agent
async def handle(ticket: str) -> Handled:
    """Sort a ticket and answer it, if nobody objects."""
    kind = await llm(f"Is this a question, a complaint or a refund? {ticket}", returns=Kind, temperature=0)
    reply = await llm(
        f"Answer this {kind} politely in one sentence: {ticket}", temperature=0.3, max_tokens=60
    )
    if kind == "refund":
        approved = await ask_human(f"Send this? {reply!r} (ticket: {ticket})", returns=bool)
        if not approved:
            return Handled(ticket, kind, False)
    send(reply)
    return Handled(ticket, kind, True)


@agent
async def triage(tickets: list[str]) -> list[Handled]:
    """Handle all tickets."""
    return [await handle(ticket) for ticket in tickets]
