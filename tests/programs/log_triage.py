"""Log triage: lines are grouped, each group is explained, and what is serious pages somebody."""

import re
from collections import defaultdict

from agentvm import agent, llm, tool

LOG: list[str] = []
NUMBERS = re.compile(r"\d+")


@tool
async def page(team: str, text: str) -> str:
    LOG.append(f"page {team}: {text}")
    return f"incident-{len(LOG)}"


@tool(effect="read")
async def recent_deploys(service: str) -> list[str]:
    return ["v2"] if service == "web" else []


def grouped(lines: list[str]) -> dict[str, list[str]]:
    groups: dict[str, list[str]] = defaultdict(list)
    for line in lines:
        groups[NUMBERS.sub("#", line)].append(line)
    return dict(groups)


@agent
async def triage(lines: list[str]) -> list[str]:
    incidents: list[str] = []
    for pattern, members in grouped(lines).items():
        level = await llm(f"Severity of {pattern} ({len(members)} times)")
        match level:
            case "ignore":
                continue
            case "page":
                service = pattern.split()[0]
                deploys = await recent_deploys(service)
                cause = await llm(f"Why {pattern}? Deploys: {deploys}")
                incidents.append(await page(service, cause))
            case "ticket" | "note":
                await page("backlog", pattern)
            case other:
                raise ValueError(f"unknown severity {other!r} of {pattern!r}")
    return incidents


def script(call):
    if call.prompt.startswith("Why"):
        return f"because {call.prompt[4:]}"
    for word, level in {"debug": "ignore", "oom": "page", "slow": "ticket", "huh": "what"}.items():
        if word in call.prompt:
            return level
    return "note"


CASES = [
    (triage, (["web oom 1", "web oom 2", "db slow 12", "x debug", "db oom 3", "plain"],), {}),
    (triage, (["db slow 1", "huh 3", "web oom 1"],), {}),
    (triage, ([],), {}),
]
