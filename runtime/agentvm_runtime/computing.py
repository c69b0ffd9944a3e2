"""Nodes that run Python code: their results come from the journal, or from running it."""

from __future__ import annotations

import time
from collections.abc import Sequence
from typing import Any

from agentvm_compiler.calls import Effect
from agentvm_compiler.codegen import Kept, Stopped, raised
from agentvm_compiler.ir import UNBOUND, Node, base

from .errors import UnstorableValue, is_failure
from .folding import fold_key
from .foresight import seen
from .frames import Frame
from .growing import do_again, grow
from .keys import python_key
from .ports import Commit
from .records import HALFWAY
from .slots import Slot
from .tracing import tracing
from .values import digest, encode
from .work import Work


def python(frame: Frame, index: int, node: Node) -> None:
    """Run plain Python, or take its results from the journal."""
    try:
        frame.give(node, _results(frame, index, node))
    except StopIteration as error:
        raise Stopped(error) from None


def _results(frame: Frame, index: int, node: Node) -> Sequence[Any]:
    fold = fold_key(node, frame.operands(node))
    if fold:
        found = _done_again(frame, node, fold)
        if found is not None:
            return found
    work = code_work(frame, node)
    started = time.time()
    recorded = _replayed(frame, index, node, work)
    if recorded is not None:
        return _overridden(frame, work, recorded)
    evaluate, inputs, kept = frame.namespace.evaluator(node), frame.inputs(node), Kept()
    try:
        results = evaluate(inputs, kept)
    except BaseException as error:
        frame.halfway[index] = _changed(node, kept)
        _keep_failure(frame, index, node, work, error, started)
        raise
    _keep(frame, node, work, results, started)
    return _overridden(frame, work, results)


def _done_again(frame: Frame, node: Node, fold: str) -> Sequence[Any] | None:
    """The results of a fold; None if it is one for ordinary Python to run. Then nothing has happened."""
    work, started, results = code_work(frame, node, fold), time.time(), None
    try:
        # What a fork sets is nothing that slots of this node's may hand on.
        if not frame.session.given(work.path):
            results = grow(node, frame.env, frame.namespace)
        if results is None:
            results = do_again(node, frame.namespace, frame.inputs(node))
    except Exception:  # which it raises again there
        return None
    frame.session.folded(work, started)
    return _overridden(frame, work, results)


async def traced(frame: Frame, index: int, node: Node) -> None:
    """Run ordinary asynchronous Python, with its effects recorded."""
    await frame.reached(index, node.effect)
    work = code_work(frame, node)
    if frame.session.rehearsing:
        await frame.session.admit(work)
    try:
        found = _replayed(frame, index, node, work)
    except StopIteration as error:
        raise Stopped(error) from None
    if found is None:
        started = time.time()
        tracer = frame.tracer(node)
        evaluate, inputs, kept = frame.namespace.evaluator(node), frame.inputs(node), Kept()
        try:
            with tracing(tracer):
                found = await evaluate(inputs, kept)
        except BaseException as error:
            frame.halfway[index] = _changed(node, kept)
            _keep_failure(frame, index, node, work, raised(error), started)
            raise
        tracer.conclude()
        frame.session.failures.handled_within(work.path)
        seen(frame, node).times.append(tracer.calls)
        await frame.session.accepted(_keep(frame, node, work, found, started))
    frame.give(node, _overridden(frame, work, found))


def _overridden(frame: Frame, work: Work, results: Sequence[Any]) -> Sequence[Any]:
    """The results, with those that a fork sets in their place."""
    if frame.session.lineage is None:
        return results
    return list((dict(enumerate(results)) | frame.session.given(work.path)).values())


def code_work(frame: Frame, node: Node, key: str = "") -> Work:
    key = key or python_key(node.code_hash, [_stored(value) for value in frame.operands(node)])
    return Work(frame.path_of(node), node.site, node.kind.value, key, looks=node.effect is not Effect.PURE)


def _replayed(frame: Frame, index: int, node: Node, work: Work) -> list[Any] | None:
    """The results from the journal; None if they are not there. Raises what the code raised."""
    event = frame.session.recorded(work) if work.key else None
    if event is None or event.value is None:
        return None
    if HALFWAY in event.detail:
        error, names = frame.session.replay_halfway(event)
        frame.halfway[index] = {name: Slot(value) for name, value in names.items()}
        raise error
    kept = frame.session.replay(event)
    return [kept.get(number, UNBOUND) for number in range(len(node.results))]


def _keep(frame: Frame, node: Node, work: Work, results: Sequence[Any], started: float) -> Commit:
    """Journal the results; what cannot be stored, or shares with others, is computed again on resume."""
    if node.attrs.get("shares") and (node.effect is Effect.PURE or node.attrs.get("whole")):
        return frame.session.volatile(work, started)
    kept = {number: value for number, value in enumerate(results) if value is not UNBOUND}
    try:
        data = encode(kept)
    except UnstorableValue:
        return frame.session.volatile(work, started)
    return frame.session.computed(work, digest(data), data, started)


def _keep_failure(
    frame: Frame, index: int, node: Node, work: Work, error: BaseException, started: float
) -> None:
    """Journal a failure, as effects before it must not happen again; without any it comes again by itself."""
    if node.effect is Effect.PURE or not is_failure(error) or not work.key:
        return
    if node.attrs.get("shares") and node.attrs.get("whole"):
        return
    names = {name: slot.value for name, slot in frame.halfway[index].items()}
    frame.session.broken(work, error, names, started)


def _changed(node: Node, kept: Kept) -> dict[str, Slot]:
    """What the node's code, which raised, had made of the names it assigns or changes."""
    if not kept:  # it did not begin
        return {}
    given = {base(each) for each in node.operands}
    names = [name for name in map(base, node.results) if name in kept or name in given]
    return {name: Slot(kept.get(name, UNBOUND)) for name in names}


def _stored(value: Any) -> Any:
    """An operand as execution keys see it."""
    return ("unbound",) if value is UNBOUND else value
