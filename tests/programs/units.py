"""Unit conversion: the model calls a calculator in a loop, by JSON, until it has the answer."""

import json

from agentvm import agent, llm, tool

LOG: list[str] = []
FACTORS = {("km", "m"): 1000.0, ("h", "s"): 3600.0, ("mile", "km"): 1.609344}


@tool(effect="pure")
def convert(value: float, source: str, target: str) -> float:
    if source == target:
        return value
    if (source, target) in FACTORS:
        return value * FACTORS[source, target]
    if (target, source) in FACTORS:
        return value / FACTORS[target, source]
    raise LookupError(f"{source} to {target}")


@tool(effect="pure")
def calculate(left: float, operator: str, right: float) -> float:
    match operator:
        case "*":
            return left * right
        case "/":
            return left / right
    raise ValueError(f"unknown operator {operator}")


@agent
async def answer(question: str, limit: int = 6) -> str:
    messages = [question]
    while len(messages) <= limit:
        reply = await llm("\n".join(messages))
        try:
            request = json.loads(reply)
        except json.JSONDecodeError:
            return reply
        try:
            if request["tool"] == "convert":
                result = convert(**request["args"])
            elif request["tool"] == "calculate":
                result = calculate(**request["args"])
            else:
                result = f"no tool {request['tool']}"
        except (LookupError, ZeroDivisionError, ValueError) as error:
            result = f"{type(error).__name__}: {error}"
        messages.append(f"{request['tool']} = {result}")
    return f"out of steps: {messages[-1]}"


def script(call):
    steps = call.prompt.split("\n")[1:]
    if "loop" in call.prompt:
        return json.dumps({"tool": "unknown"})
    if not steps:
        return json.dumps({"tool": "convert", "args": {"value": 3, "source": "mile", "target": "km"}})
    if len(steps) == 1:
        return json.dumps({"tool": "convert", "args": {"value": 3, "source": "mile", "target": "parsec"}})
    if len(steps) == 2:
        return json.dumps({"tool": "calculate", "args": {"left": 1, "operator": "/", "right": 0}})
    return f"it is {steps[0]}, not {steps[1]}"


CASES = [(answer, ("3 miles in km?",), {}), (answer, ("loop",), {"limit": 3}), (answer, ("3 miles?", 1), {})]
