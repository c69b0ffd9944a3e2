"""A monitor that runs for days, and survives `kill -9`.

    agentvm run examples/monitor.py:watch -i path=/var/log/syslog -i checks=1000 -i every=60
    agentvm worker                     # on any machine with the store: goes on with runs whose process died

Each check is recorded when it is done. Killed at any instant, the run goes on with
the check that was under way: no alarm is lost, and none is raised twice.
"""

import asyncio
import json
import os
from pathlib import Path
from typing import Literal

from agentvm import agent, current, llm, now, tool

ALARMS = Path(os.environ.get("MONITOR_ALARMS", "alarms.jsonl"))


@tool(effect="read")
async def wait_until(moment: float) -> float:
    """Sleep until a moment, Unix seconds; done again after a crash, it sleeps the rest only."""
    await asyncio.sleep(max(0.0, moment - now()))
    return moment


@tool(effect="read")
def read_from(path: str, offset: int, most: int = 2000) -> str:
    """What was written to a file since the last look."""
    with Path(path).open("rb") as file:
        file.seek(offset)
        return file.read(most).decode(errors="replace")


@tool(idempotent=True)
def alarm(text: str) -> str:
    """Raise an alarm, once for each key."""
    key = current().idempotency_key
    lines = ALARMS.read_text().splitlines() if ALARMS.exists() else []
    if not any(json.loads(line)["key"] == key for line in lines):
        with ALARMS.open("a") as file:
            file.write(json.dumps({"key": key, "text": text}) + "\n")
    return key


@agent
async def watch(path: str, checks: int = 100, every: float = 60.0) -> int:
    """Look at a file again and again; returns how many alarms were raised."""
    offset = 0
    raised = 0
    begun = now()
    for number in range(checks):
        await wait_until(begun + number * every)
        news = read_from(path, offset)
        if not news:
            continue
        offset += len(news.encode())
        ask = f"Is something wrong here? Answer fine or alarm.\n\n{news}"
        verdict = await llm(ask, returns=Literal["fine", "alarm"], temperature=0, max_tokens=8)
        if verdict == "alarm":
            alarm(news[-200:])
            raised += 1
    return raised
