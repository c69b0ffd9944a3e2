"""The tree of forks that a run belongs to, drawn."""

from __future__ import annotations

from typing import Any


def drawn(tree: dict[str, Any], here: str, prefix: str = "", branch: str = "") -> list[str]:
    """The tree as lines; the run one looks at is marked."""
    mark = "  <-" if tree["run"] == here else ""
    about = f"  ({tree['difference']})" if tree["difference"] else ""
    lines = [f"{prefix}{branch}{tree['run']}  {tree['status']}{about}{mark}"]
    inner = prefix + {"": "", "├─ ": "│  ", "└─ ": "   "}[branch]
    last = len(tree["forks"]) - 1
    for number, each in enumerate(tree["forks"]):
        lines += drawn(each, here, inner, "└─ " if number == last else "├─ ")
    return lines
