"""How a server is guarded and bounded."""

from __future__ import annotations

import ipaddress
from dataclasses import dataclass

LOOPBACK_NAMES = frozenset({"localhost", "localhost.localdomain", "ip6-localhost"})


@dataclass(frozen=True, slots=True)
class Settings:
    """What whoever starts a server decides."""

    host: str = "127.0.0.1"
    """Address that is bound."""
    token: str | None = None
    """Bearer token that requests must have; None lets anybody in who reaches the socket."""
    allowed_hosts: tuple[str, ...] = ()
    """Names, without port, by which the server may be called besides those of loopback."""
    starts_engine: bool = False
    """Whether an engine of the machine's own is started with the server, not by the first request."""
    concurrency: int = 256
    """Runs driven at once; others wait in the store."""
    max_requests: int = 1_000
    """Requests answered at once, open event streams included; others get 503."""
    max_body: int = 4 * 1024 * 1024
    """Bytes of a request's body."""
    max_model_body: int = 64 * 1024 * 1024
    """The same for the model API, whose prompts may hold images."""
    head_timeout: float = 30.0
    """Seconds for a request's head to arrive, from the connection or the answer before."""
    body_timeout: float = 30.0
    """Seconds for a request's body to arrive."""
    request_timeout: float = 60.0
    """Seconds for an answer, those of streams and of the model API not counted."""
    take_timeout: float = 60.0
    """Seconds in which a client must take something of an answer that waits for it."""
    heartbeat: float = 15.0
    """Seconds between two signs of life on a silent event stream."""
    poll: float = 0.5
    """Seconds between two looks at a run that another process drives, and at waiting runs."""

    @property
    def loopback(self) -> bool:
        """Whether only this machine can reach the server."""
        return is_loopback(self.host)


def is_loopback(host: str) -> bool:
    """Whether an address or name is this machine's own."""
    name = host.strip("[]").lower()
    if name in LOOPBACK_NAMES:
        return True
    try:
        return ipaddress.ip_address(name).is_loopback
    except ValueError:
        return False
