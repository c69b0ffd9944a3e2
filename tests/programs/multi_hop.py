"""Multi-hop question answering: the question is cut into hops, each of which needs the answers before it."""

from agentvm import agent, llm, tool

LOG: list[str] = []
PASSAGES = {
    "Who wrote Dune?": "Dune was written by Frank Herbert.",
    "Where was Frank Herbert born?": "Herbert was born in Tacoma.",
}


@tool(effect="read")
async def retrieve(question: str) -> str:
    return PASSAGES[question]


@agent
async def multi_hop(question: str) -> str:
    hops = await llm(f"Decompose: {question}", returns=list[str])
    known: dict[str, str] = {}
    for number, hop in enumerate(hops, start=1):
        filled = hop.format(**known)
        try:
            passage = await retrieve(filled)
        except KeyError as error:
            known[f"a{number}"] = f"unknown ({error.args[0]})"
            continue
        answer = await llm(f"Answer {filled} from: {passage}")
        if not answer:
            return f"no answer to hop {number}: {filled}"
        known[f"a{number}"] = answer
    if any(value.startswith("unknown") for value in known.values()):
        return f"partly: {known}"
    return await llm(f"Final answer to {question} given {known}")


def script(call):
    if call.prompt.startswith("Decompose"):
        if "Solaris" in call.prompt:
            return ["Who wrote Solaris?", "Where was {a1} born?"]
        return ["Who wrote Dune?", "Where was {a1} born?"] if "Dune" in call.prompt else []
    if call.prompt.startswith("Answer"):
        return "Frank Herbert" if "Dune" in call.prompt else "Tacoma"
    return call.prompt[-20:]


CASES = [
    (multi_hop, ("Where was the author of Dune born?",), {}),
    (multi_hop, ("Where was the author of Solaris born?",), {}),
    (multi_hop, ("Nothing to see?",), {}),
]
