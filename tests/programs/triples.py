"""A knowledge graph: triples are extracted, entities merged, and contradictions put to the model."""

from typing import NamedTuple

from agentvm import agent, llm, tool

LOG: list[str] = []


class Triple(NamedTuple):
    subject: str
    relation: str
    object: str


@tool
async def insert(triple: Triple) -> None:
    LOG.append(" ".join(triple))


@agent
async def canonical(names: set[str]) -> dict[str, str]:
    merged: dict[str, str] = {}
    for name in sorted(names):
        for known in sorted(set(merged.values())):
            if name[0] == known[0] and await llm(f"Same? {name} | {known}") == "yes":
                merged[name] = known
                break
        else:
            merged[name] = name
    return merged


@agent
async def build(sentences: list[str]) -> list[Triple]:
    extracted = [await llm(f"Triples in: {each}", returns=list[Triple]) for each in sentences]
    triples = [triple for some in extracted for triple in some]
    names = await canonical({name for each in triples for name in (each.subject, each.object)})
    facts: dict[tuple[str, str], Triple] = {}
    for triple in triples:
        fact = Triple(names[triple.subject], triple.relation, names[triple.object])
        key = fact.subject, fact.relation
        old = facts.get(key)
        if old is not None and old != fact:
            chosen = await llm(f"Which? 1: {old.object} 2: {fact.object}")
            fact = old if chosen == "1" else fact
        facts[key] = fact
    for _, fact in sorted(facts.items()):
        await insert(fact)
    return list(facts.values())


def script(call):
    if call.prompt.startswith("Triples"):
        words = call.prompt.removeprefix("Triples in: ").split()
        return [Triple(*words[at : at + 3]) for at in range(0, len(words) - 2, 3)]
    if call.prompt.startswith("Same"):
        return "yes" if call.prompt.endswith("Ann") else "no"
    return "1" if "Oslo" in call.prompt else "2"


CASES = [
    (build, (["Ann lives Oslo", "Anna lives Rome Bob likes Ann", "Bob likes Bill"],), {}),
    (build, ([],), {}),
]
