"""Which recorded failures ended a run, so that a retry tries these again and no others.

Equal exceptions may be raised at several places, one handled, another not. Each
is followed from the work that raised it until something handles it.
"""

from __future__ import annotations

from dataclasses import dataclass, field

from .records import Digest

_CODE = ("python", "traced", "agent")
"""Kinds of nodes that run the user's code."""


@dataclass(slots=True)
class _Failure:
    """An exception that nothing has handled yet."""

    error: BaseException
    digest: Digest
    paths: list[str] = field(default_factory=list)
    """Of the work it was recorded for: the innermost first, then what called that."""
    called: bool = False
    """Whether a tool, model or person was asked: to ask again may help, to run the same code may not."""


class Failures:
    """The failures of one run, as this process saw them raised or replayed."""

    def __init__(self) -> None:
        self._open: dict[int, _Failure] = {}
        """By identity of the exception, which is kept alive here."""
        self._handled: dict[Digest, list[str]] = {}
        """Paths of the last failure of each value that was handled."""

    def add(self, error: BaseException, path: str, digest: Digest, node: str) -> None:
        """An exception was recorded for work at this path, a node of that kind, or taken from its record."""
        known = self._open.setdefault(id(error), _Failure(error, digest))
        known.paths.append(path)
        known.called = known.called or node not in _CODE

    def handled(self, error: BaseException) -> None:
        """The program has gone on after the exception."""
        failure = self._open.pop(id(error), None)
        if failure is not None:
            self._handled[failure.digest] = failure.paths

    def handled_within(self, path: str) -> None:
        """The work at this path has succeeded, whatever has failed in it."""
        for each in list(self._open.values()):
            if each.paths[-1].startswith(f"{path}/"):
                self.handled(each.error)

    def ended_by(self, error: BaseException, digest: Digest) -> list[str]:
        """The paths of the failures that the program ended with.

        That is of this exception, and of equal ones that nothing has handled, such as those of
        calls that ran beside it; and, where only code raised it, of what it was raised from.

        Args:
            digest: the exception's, as it is recorded.
        """
        seen: set[int] = set()
        found: dict[str, None] = {}
        cause: BaseException | None = error
        while cause is not None and id(cause) not in seen:
            seen.add(id(cause))
            known = self._open.get(id(cause))
            digest = digest if known is None else known.digest
            equal = [each for each in self._open.values() if each.digest == digest]
            paths = [path for each in equal for path in each.paths]
            if cause is error and not paths:
                paths = self._handled.get(digest, [])  # it was kept, and raised again later
            found.update(dict.fromkeys(paths))
            if any(each.called for each in equal):
                break
            cause = cause.__cause__ or (None if cause.__suppress_context__ else cause.__context__)
            digest = Digest("")
        return list(found)
