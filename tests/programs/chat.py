"""A chat with tools: the list of messages grows turn by turn and is sent whole."""

import json

from agentvm import agent, llm, tool

LOG: list[str] = []


@tool
async def book(seat: str) -> str:
    LOG.append(f"book {seat}")
    return f"booked {seat}"


@tool(effect="read")
async def free_seats() -> list[str]:
    return [each for each in ("1A", "1B", "2A") if f"book {each}" not in LOG]


@agent
async def chat(turns: list[str]) -> list[dict[str, str]]:
    messages = [{"role": "system", "content": "You sell seats."}]
    for turn in turns:
        messages.append({"role": "user", "content": turn})
        reply = await llm(messages=messages)
        messages.append({"role": "assistant", "content": reply})
        if reply.startswith("{"):
            request = json.loads(reply)
            if request["tool"] == "book":
                result = await book(request["seat"])
            else:
                result = ", ".join(await free_seats())
            messages += [{"role": "user", "content": f"RESULT {result}"}]
            messages.append({"role": "assistant", "content": await llm(messages=messages)})
    return messages


def script(call):
    last = call.messages[-1].content
    if last.startswith("RESULT"):
        return f"{last.lower()} ({len(call.messages)})"
    if last.startswith("book"):
        return json.dumps({"tool": "book", "seat": last.split()[-1]})
    return json.dumps({"tool": "free_seats"}) if last == "free?" else "hello"


CASES = [(chat, (["hi", "free?", "book 1B", "free?", "bye"],), {}), (chat, ([],), {})]
