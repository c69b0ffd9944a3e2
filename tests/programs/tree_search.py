"""Monte Carlo tree search: select, expand, simulate, back up; the moves come from the model."""

import math
from dataclasses import dataclass, field

from agentvm import agent, llm

LOG: list[str] = []


@dataclass
class Node:
    state: str
    visits: int = 0
    value: float = 0.0
    children: list["Node"] = field(default_factory=list)

    def best(self) -> "Node":
        return max(self.children, key=lambda child: child.bound(self.visits))

    def bound(self, parent_visits: int) -> float:
        if not self.visits:
            return math.inf
        return self.value / self.visits + math.sqrt(2 * math.log(parent_visits) / self.visits)


@agent
async def simulate(state: str, horizon: int = 2) -> float:
    for step in range(horizon):
        state = await llm(f"Play on from {state} ({step})")
        if state.endswith("!"):
            return 1.0
    return await llm(f"Chances in {state}", returns=float)


@agent
async def search(problem: str, rollouts: int = 4) -> tuple[str, int]:
    root = Node(problem)
    for _ in range(rollouts):
        path = [root]
        while path[-1].children:
            path.append(path[-1].best())
        leaf = path[-1]
        if leaf.visits or leaf is root:
            moves = await llm(f"Moves from {leaf.state}", returns=list[str])
            leaf.children = [Node(f"{leaf.state}>{move}") for move in moves]
            if leaf.children:
                leaf = leaf.children[0]
                path.append(leaf)
        reward = await simulate(leaf.state)
        for node in path:
            node.visits += 1
            node.value += reward
    if not root.children:
        return problem, root.visits
    best = max(root.children, key=lambda child: child.visits)
    return best.state, best.visits


def script(call):
    if call.prompt.startswith("Moves"):
        return [] if "stuck" in call.prompt else ["a", "b", "c"][: 2 + len(call.prompt) % 2]
    if call.prompt.startswith("Chances"):
        return len(call.prompt) % 10 / 10
    state = call.prompt.split()[3]
    return f"{state}!" if state.endswith("b") else f"{state}."


CASES = [(search, ("p",), {}), (search, ("p", 7), {}), (search, ("stuck",), {}), (search, ("p", 0), {})]
