"""Deep research: questions lead to findings, and these to follow-ups, until enough were asked."""

from dataclasses import dataclass

from agentvm import agent, llm, tool

LOG: list[str] = []


@dataclass
class Finding:
    question: str
    summary: str
    depth: int


@tool(effect="read")
async def web_search(query: str) -> list[str]:
    return [f"{query} / page {number}" for number in range(2)]


@agent
async def investigate(question: str, depth: int) -> Finding:
    query = await llm(f"Search query for: {question}")
    pages = await web_search(query)
    notes = [await llm(f"What does {page} say about {question}?") for page in pages]
    summary = await llm(f"Summarise {notes} for {question}")
    return Finding(question, summary, depth)


@agent
async def deep_research(topic: str, questions: int = 5) -> tuple[str, list[str]]:
    frontier = await llm(f"Opening questions on {topic}", returns=list[str])
    findings: list[Finding] = []
    depth = 0
    while frontier and len(findings) < questions:
        batch = frontier[: questions - len(findings)]
        found = [await investigate(question, depth) for question in batch]
        findings = findings + found
        followups = [await llm(f"Follow-ups to {each.summary}", returns=list[str]) for each in found]
        asked = {each.question for each in findings}
        frontier = [question for some in followups for question in some if question not in asked]
        depth += 1
    outline = "\n".join(f"{each.depth}: {each.summary}" for each in findings)
    report = await llm(f"Report on {topic}:\n{outline}")
    return report, [each.question for each in findings]


def script(call):
    if call.prompt.startswith("Opening"):
        return [] if "nothing" in call.prompt else ["why", "how"]
    if call.prompt.startswith("Follow-ups"):
        return [f"more {len(call.prompt) % 7}", "why"] if len(call.prompt) % 3 else []
    return f"{call.prompt[:12]}({len(call.prompt)})"


CASES = [
    (deep_research, ("tides",), {}),
    (deep_research, ("tides",), {"questions": 1}),
    (deep_research, ("nothing",), {}),
]
