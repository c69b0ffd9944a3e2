"""Durations as users write them; see `agentvm_compiler.durations`, where every layer finds them."""

from agentvm_compiler.durations import UNITS, Duration, optional_seconds, readable, seconds

__all__ = ["UNITS", "Duration", "optional_seconds", "readable", "seconds"]
