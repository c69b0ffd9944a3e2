"""Why a node of a run was executed, or where its result was taken from."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Iterable

    from agentvm_runtime.ports import Store
    from agentvm_runtime.records import Event, RunRecord


async def why(store: Store, record: RunRecord, name: str) -> list[dict[str, Any]]:
    """What is known of every node a name means: a path, a site, a tool, an agent, or a variable.

    Raises:
        InputError: the run has none such.
    """
    from agentvm_compiler.errors import InputError
    from agentvm_runtime.comparing import results_of
    from agentvm_runtime.lineage import lineage_of

    results = await results_of(store, record)
    wanted = [each for path, each in results.items() if _means(name, path)]
    if not wanted:
        wanted = [results[path] for path in await _assigned(store, record, name, results) if path in results]
    if not wanted:
        raise InputError(f"Run {record.id} has no node {name!r}. See its nodes: agentvm show {record.id}")
    own = {each.path for each in await store.events(record.id)}
    lineage = await lineage_of(store, record)
    origins = {} if lineage is None else {each.path: lineage.origin(each.path) for each in wanted}
    return [_reason(each, own, origins, record) for each in wanted]


async def _assigned(store: Store, record: RunRecord, name: str, paths: Iterable[str]) -> list[str]:
    """The paths of the nodes that give a value to a variable."""
    from agentvm_runtime.revision import MODULE, NAMES, module_of
    from agentvm_runtime.targets import Places

    module = await module_of(store, record.meta[MODULE]) if MODULE in record.meta else None
    if module is None:
        return []
    found = Places(module, record.meta.get(NAMES, {})).called(name, list(paths))
    return list(dict.fromkeys(each.path for each in found))


def _means(name: str, path: str) -> bool:
    last = path.rpartition("/")[2]
    return name in (path, last, last.partition("#")[0])


def _reason(event: Event, own: set[str], origins: dict[str, str | None], record: RunRecord) -> dict[str, Any]:
    from agentvm_runtime.reasons import TEXTS, WHY
    from agentvm_runtime.records import Source

    if event.source is Source.GIVEN:
        said = "given by the fork"
    elif event.path not in own:
        said = f"inherited from run {origins.get(event.path) or record.parent}: its inputs are the same there"
    elif event.source is Source.MEMO:
        said = f"taken from {event.detail.get('from', 'another run')}, which did the same work"
    elif event.source is Source.SHARED:
        said = "taken from the same work, which was under way at that moment"
    else:
        reason = TEXTS.get(event.detail.get(WHY, ""), "")
        said = "executed" + (f": {reason}" if reason else "")
    return {"path": event.path, "source": str(event.source), "why": said, "key": event.key}


def printed(found: list[dict[str, Any]]) -> list[str]:
    """For people."""
    return [f"{each['path']}\n  {each['why']}\n  key {each['key'] or 'none'}" for each in found]
