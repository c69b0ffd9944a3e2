"""A conversation in which the model uses a tool before each answer.

    agentvm run examples/chat_tools.py:chat -i 'questions=["How much is 12 times 7?"]'

The conversation is an ordinary list that grows, so each answer waits for the one
before; the sums do not depend on it and are asked for at once. What the model may
ask of the tool is a type: even a small model can only write a sum it understands.
"""

import operator
from typing import Annotated

from pydantic import BaseModel, Field

from agentvm import agent, llm, tool

OPERATORS = {"+": operator.add, "-": operator.sub, "*": operator.mul, "/": operator.truediv}
QUESTIONS = ("How much is 12 times 7?", "How much is 1001 minus 56?")


class Sum(BaseModel):
    """A use of the calculator."""

    sum: Annotated[str, Field(pattern=r"^[0-9]{1,4} [-+*/] [0-9]{1,4}$")]


@tool(effect="pure")
def calculate(sum: str) -> float:
    """The value of a sum such as `12 * 7`."""
    left, sign, right = sum.split()
    return float(OPERATORS[sign](float(left), float(right)))


@agent(deadline="2m")
async def chat(questions: tuple[str, ...] = QUESTIONS) -> list[str]:
    """Answer questions one after the other, each with the help of the calculator."""
    messages: list[dict[str, str]] = []
    answers: list[str] = []
    for question in questions:
        wanted = await llm(
            f"Write the sum to compute. Question: {question}", returns=Sum, temperature=0, max_tokens=24
        )
        result = calculate(wanted.sum)
        messages.append({"role": "user", "content": question})
        messages.append({"role": "assistant", "content": f"calculator: {wanted.sum}"})
        messages.append(
            {
                "role": "user",
                "content": f"The calculator says {result:g}. Answer the question in one sentence.",
            }
        )
        answer = await llm(messages=messages, temperature=0, max_tokens=40)
        messages.append({"role": "assistant", "content": answer})
        answers.append(answer)
    return answers
