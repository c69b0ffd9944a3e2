"""Glossary building: terms of all chapters, defined once each, with cross references between them."""

from agentvm import agent, llm, tool

LOG: list[str] = []
CHAPTERS = {1: "cat dog", 2: "dog fox", 3: ""}


@tool(effect="read")
async def chapter(number: int) -> str:
    return CHAPTERS[number]


@agent
async def define(term: str, contexts: list[int]) -> str:
    definition = await llm(f"Define {term} as in {contexts}")
    if len(definition) > 60:
        definition = await llm(f"Shorten: {definition}")
    return definition


@agent
async def glossary(numbers: list[int]) -> dict[str, tuple[str, list[str]]]:
    found = {number: await llm(f"Terms: {await chapter(number)}", returns=list[str]) for number in numbers}
    places: dict[str, list[int]] = {}
    for number, terms in found.items():
        for term in terms:
            places.setdefault(term.lower(), []).append(number)
    ordered = sorted(places)
    definitions = {term: await define(term, places[term]) for term in ordered}
    related = {
        term: [other for other in ordered if other != term and other in definition]
        for term, definition in definitions.items()
    }
    return {term: (definitions[term], related[term]) for term in ordered}


def script(call):
    if call.prompt.startswith("Terms"):
        return call.prompt.removeprefix("Terms: ").title().split()
    if call.prompt.startswith("Define dog"):
        return "an animal, unlike a cat, of which there is more to say than fits"
    return call.prompt.lower()[:30]


CASES = [(glossary, ([1, 2, 3],), {}), (glossary, ([],), {}), (glossary, ([1, 9],), {})]
