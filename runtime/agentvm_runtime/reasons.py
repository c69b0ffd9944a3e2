"""Why work was done though its result might have been taken from elsewhere, in an event's detail."""

from __future__ import annotations

WHY = "why"
"""In the detail of a result that was executed: one of those below."""

MISS = "miss"
STALE = "stale"
OWN = "own"
WRITE = "write"
NO_MEMO = "no-memo"
PASSED = "passed"
AGAIN = "again"
WROTE = "wrote"
CHANGED_KEY = "changed"

TEXTS = {
    MISS: "nothing was recorded under its key, by this run or any other",
    STALE: "nothing was recorded under its key within its ttl, by this run or any other",
    OWN: "its result is for this run and its forks only: the call samples (other runs share it with "
    "temperature=0, seed= or share=True), or the tool reads (others share it within a ttl)",
    WRITE: "a write is never shared, only found again in the run's own journal and by its forks",
    NO_MEMO: "the run was started with --no-memo",
    PASSED: "traced code passed it objects, and would see whether the result is made of them",
    AGAIN: "the fork was asked to do it again",
    WROTE: "the run had written before, so that it must read anew whatever the ttl",
    CHANGED_KEY: "what was recorded here was other work: its inputs, its code or the model were not the same",
}
"""The same for people."""
