"""Foresight: what is forecast from within a frame, and what frames tell later forecasts.

A frame knows more of a run than its program says: how regions that were entered
go on, and how often the loops around it have gone round.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from agentvm_compiler.ir import Kind, Node
from agentvm_compiler.passes.stages import SiteProfile
from agentvm_compiler.wire import Stage

from .profiling import Notes

if TYPE_CHECKING:
    from .frames import Frame


def remaining(frame: Frame, site: str) -> tuple[Stage, ...]:
    """Forecast of the stages that wait for a node of a frame, in what called the program too."""
    rounds: dict[str, int] = {}
    known: dict[str, SiteProfile] = dict(frame.unfolded)
    owner = frame.owner
    while owner is not None and owner.node.kind is not Kind.AGENT:
        if owner.iterations is not None:
            rounds[owner.node.site] = owner.iteration
        known = {**owner.frame.unfolded, **known}
        owner = owner.frame.owner
    stages = frame.session.forecasts.after(frame.program.program, site, rounds, known)
    return stages if owner is None else (*stages, *remaining(owner.frame, owner.node.site))


def unfold(frame: Frame, node: Node, known: SiteProfile) -> None:
    """Let forecasts know how a region of a frame goes on, while it does."""
    if not frame.unfolded:
        frame.unfolded = {}
    frame.unfolded[node.site] = known
    if frame.session.updates is not None:
        frame.session.updates.unfolded(frame)


def seen(frame: Frame, node: Node) -> Notes:
    """Where to note what a node does, for later forecasts."""
    return frame.session.observed.at(frame.program.program.name, node.site)
