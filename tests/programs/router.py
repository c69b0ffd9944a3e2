"""A router: the kind of a request decides which way it is handled."""

from typing import Literal

from agentvm import agent, llm, tool

LOG: list[str] = []


@tool
def refund(order: str, amount: float) -> str:
    """A synchronous write."""
    LOG.append(f"refund {order} {amount:.2f}")
    return f"R-{len(LOG)}"


@agent
async def route(request: str) -> dict[str, object]:
    kind = await llm(f"Classify: {request}", returns=Literal["refund", "question", "other"])
    receipt = None
    if kind == "refund":
        amount = await llm(f"Amount in: {request}", returns=float)
        if amount > 100:
            return {"kind": kind, "answer": "a person will look at it", "receipt": receipt}
        receipt = refund(request.split()[-1], amount)
        answer = f"refunded {amount:>8.2f}"
    elif kind == "question":
        answer = await llm(f"Answer: {request}")
    else:
        answer = "sorry"
    return {"kind": kind, "answer": answer, "receipt": receipt}


def script(call):
    if call.prompt.startswith("Classify"):
        return '"refund"' if "money" in call.prompt else '"question"' if "?" in call.prompt else '"other"'
    if call.prompt.startswith("Amount"):
        return 250.0 if "lots" in call.prompt else 12.5
    return "42"


CASES = [
    (route, ("my money for 77",), {}),
    (route, ("lots of money for 78",), {}),
    (route, ("what?",), {}),
    (route, ("hello",), {}),
]
