"""`Retry`: how often, when and after which errors a call is tried again."""

from __future__ import annotations

import random
from dataclasses import dataclass

from .errors import ConfigError


@dataclass(frozen=True, slots=True)
class Retry:
    """A policy of trying again. Attempts that failed are journaled: a resumed run does not begin anew.

    The pause after the n-th failure is `backoff * factor ** (n - 1)`, at most
    `longest`, and up to `jitter` of it more at random.
    """

    attempts: int = 3
    """In all, the first one included."""
    backoff: float = 0.0
    """Seconds after the first failure."""
    factor: float = 2.0
    longest: float = 60.0
    """Seconds of the longest pause."""
    jitter: float = 0.0
    """Share of a pause that is added at most, at random."""
    on: tuple[type[BaseException], ...] | type[BaseException] = ()
    """Errors after which to try again. By default any `Exception` of a tool, and of a model call what
    may pass: a transient `BackendError`, or its timeout."""

    def __post_init__(self) -> None:
        if not isinstance(self.attempts, int) or self.attempts < 1:
            raise ConfigError(f"Retry(attempts={self.attempts!r}): at least one attempt, the first, is made")
        if min(self.backoff, self.factor, self.longest, self.jitter) < 0:
            raise ConfigError(f"{self}: a pause cannot be negative")
        kinds = self.on if isinstance(self.on, tuple) else (self.on,)
        if not all(isinstance(each, type) and issubclass(each, Exception) for each in kinds):
            raise ConfigError(f"Retry(on={self.on!r}): name exception classes, such as (ConnectionError,)")

    def pause(self, failures: int) -> float:
        """Seconds to wait after that many failures."""
        plain = min(self.backoff * self.factor ** (failures - 1), self.longest)
        return plain * (1 + self.jitter * random.random())


def retry_policy(retries: int | Retry, what: str) -> Retry:
    """A policy as users write it: the policy, or the number of further attempts.

    Raises:
        ConfigError: neither, or a negative number.
    """
    if isinstance(retries, Retry):
        return retries
    if not isinstance(retries, int) or isinstance(retries, bool):
        raise ConfigError(f"{what}: retries={retries!r} is neither a number nor a Retry(...)")
    if retries < 0:
        raise ConfigError(f"{what}: retries={retries} cannot be negative")
    return Retry(attempts=retries + 1)


ONCE = Retry(attempts=1)
