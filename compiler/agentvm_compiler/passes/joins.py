"""Joins: calls that one later node waits for together, so that they share their fate.

`a, b = await asyncio.gather(llm(...), llm(...))` joins two. None of those joined
waits for another of them. The iterations of a map, which are as many as its items,
are counted where it runs.

An analysis, not a pass: a pure function of a region.
"""

from __future__ import annotations

from agentvm_compiler.ir import Kind, Region

_JOINED = frozenset({Kind.LLM, Kind.AGENT})


def joins(region: Region) -> dict[str, tuple[str, int]]:
    """By site of a model's or agent's call that is joined with others: where, and how many they are.

    Of a call that several nodes wait for, the one that joins most counts.
    """
    if sum(node.kind in _JOINED for node in region.nodes) < 2:
        return {}
    found: dict[str, tuple[str, int]] = {}
    gives: dict[str, str] = {}
    """Which call gives a name."""
    behind: dict[str, frozenset[str]] = {}
    """The calls that a name, or the end of what is at a site, waits for."""
    for node in region.nodes:
        waits = frozenset[str]().union(*(behind.get(each, ()) for each in (*node.operands, *node.after)))
        read = {gives[name] for name in node.operands if name in gives}
        last = [each for each in read if not any(each in behind[other] for other in read - {each})]
        for each in last if len(last) > 1 else ():
            if len(last) > found.get(each, ("", 1))[1]:
                found[each] = (node.site, len(last))
        made = waits
        if node.kind in _JOINED:
            made = waits | {node.site}
            gives.update(dict.fromkeys(node.results, node.site))
        behind.update(dict.fromkeys((*node.results, node.site), made))
    return found
