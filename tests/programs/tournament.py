"""A knock-out tournament of answers, judged pair by pair."""

from agentvm import agent, llm

LOG: list[str] = []


@agent
async def better(question: str, first: str, second: str) -> str:
    if first == second:
        return first
    winner = await llm(f"{question}: 1={first} 2={second}", returns=int, temperature=0)
    return first if winner == 1 else second


@agent
async def tournament(question: str, entrants: int = 5) -> tuple[str, list[int]]:
    players = [await llm(f"Answer {question} as player {n}") for n in range(entrants)]
    sizes = []
    while len(players) > 1:
        sizes.append(len(players))
        bye = [players[-1]] if len(players) % 2 else []
        pairs = zip(players[0::2], players[1::2], strict=False)
        players = [await better(question, a, b) for a, b in pairs] + bye
    return players[0], sizes


def script(call):
    if call.prompt.startswith("Answer"):
        return f"p{int(call.prompt.split()[-1]) // 2}"
    return 1 + sum(map(ord, call.prompt)) % 2


CASES = [(tournament, ("q",), {}), (tournament, ("q", 1), {}), (tournament, ("q", 0), {})]
