"""How far a run is, for whoever watches it."""

from __future__ import annotations

from dataclasses import dataclass, field


@dataclass(slots=True)
class Progress:
    """A live account of one run; changed in place by the executor."""

    started_at: float = 0.0
    """Unix seconds at which this process took the run up."""
    deadline_at: float | None = None
    """Unix seconds."""
    executed: int = 0
    """Nodes whose work was done now."""
    reused: int = 0
    """Nodes whose result was recorded before, or shared."""
    input_tokens: int = 0
    output_tokens: int = 0
    """Of finished model calls, and of those under way what has come so far."""
    active: dict[str, float] = field(default_factory=dict)
    """Calls under way: path -> Unix seconds of their start."""

    @property
    def done(self) -> int:
        return self.executed + self.reused

    @property
    def running(self) -> int:
        return len(self.active)

    @property
    def total_known(self) -> int:
        """Nodes done and under way: those not reached yet are not known."""
        return self.done + self.running

    @property
    def running_paths(self) -> tuple[str, ...]:
        return tuple(self.active)
