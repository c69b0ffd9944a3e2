"""The tree of forks that a run belongs to."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from .standing import status_of

if TYPE_CHECKING:
    from agentvm_runtime.ports import Store
    from agentvm_runtime.records import RunRecord


async def tree_of(store: Store, record: RunRecord) -> dict[str, Any] | None:
    """The run's first ancestor with all forks; None for a run that is neither a fork nor has any."""
    root = record
    while root.parent is not None and (above := await store.get_run(root.parent)) is not None:
        root = above
    tree = await _branch(store, root)
    return tree if tree["forks"] else None


async def _branch(store: Store, record: RunRecord) -> dict[str, Any]:
    below = [await _branch(store, each) for each in await store.forks(record.id)]
    return {
        "run": record.id,
        "status": await status_of(store, record),
        "difference": difference(record),
        "forks": below,
    }


def difference(record: RunRecord) -> str:
    """What a fork overrides, in a few words."""
    from agentvm_runtime.forking import fork_of

    fork = fork_of(record)
    if fork is None:
        return ""
    parts = [f"set {path}" for path in fork.given] + [f"again {path}" for path in fork.again]
    parts += [f"set input {name}" for name in record.meta.get("inputs_set", ())]
    return ", ".join(parts) or "nothing overridden"
