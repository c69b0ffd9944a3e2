"""Leases: who may drive a run, and how to tell that a holder is dead.

A *holder* is `host:pid:nonce`. The nonce says which boot, which pid namespace
and when the process started, so that another process with the same pid, or
another machine with the same name, is never mistaken for the holder. In doubt
a holder counts as alive: its lease then ends by expiring.
"""

from __future__ import annotations

import functools
import os
import re
import secrets
import socket
from pathlib import Path

from agentvm_runtime.errors import RunLeased
from agentvm_runtime.records import Lease

_NONCE = re.compile(r"(?P<boot>[0-9a-f]*)-(?P<namespace>\d*)-(?P<started>\d*)-[0-9a-f]+")


def _read(path: str) -> str:
    try:
        return Path(path).read_text()
    except OSError:
        return ""


@functools.cache
def _boot() -> str:
    return _read("/proc/sys/kernel/random/boot_id").replace("-", "").strip()[:12]


def _namespace() -> str:
    try:
        return "".join(filter(str.isdigit, str(Path("/proc/self/ns/pid").readlink())))
    except OSError:
        return ""


def _stat(pid: int) -> list[str]:
    # The command's name, in brackets, may itself hold brackets and spaces.
    return _read(f"/proc/{pid}/stat").rpartition(")")[2].split()


def _started(pid: int) -> str:
    """When a process started, in clock ticks since boot; empty where the system does not say."""
    fields = _stat(pid)
    return fields[19] if len(fields) > 19 else ""


def this_holder() -> str:
    """A new holder name for this process."""
    pid = os.getpid()
    nonce = f"{_boot()}-{_namespace()}-{_started(pid)}-{secrets.token_hex(4)}"
    return f"{socket.gethostname()}:{pid}:{nonce}"


_gone: set[str] = set()
"""Holders of this process that drive nothing any more, though their leases could not be given back."""


def give_up(holder: str) -> None:
    """A holder of this process has ended before the process: its leases keep nobody away."""
    _gone.add(holder)


def take_up(holder: str) -> None:
    """A holder drives something, again perhaps."""
    _gone.discard(holder)


def is_dead(holder: str) -> bool:
    """Whether a holder is certainly a process of this host that has ended, or has ended within this one."""
    if holder in _gone:
        return True
    process, _, nonce = holder.rpartition(":")
    host, _, number = process.rpartition(":")
    if host != socket.gethostname() or not number.isdecimal():
        return False
    pid = int(number)
    known = _NONCE.fullmatch(nonce)
    if known and (known["boot"], known["namespace"]) != (_boot(), _namespace()):
        return False
    if not _exists(pid):
        return True
    if _stat(pid)[:1] in (["Z"], ["X"]):  # ended, its parent has not asked yet
        return True
    return bool(known and known["started"] and known["started"] != _started(pid))


def _exists(pid: int) -> bool:
    if os.name == "nt":  # there os.kill would end the process
        return True
    try:
        os.kill(pid, 0)
    except (ProcessLookupError, OverflowError):
        return False
    except PermissionError:
        return True
    return True


def in_force(lease: Lease | None, now: float) -> bool:
    """Whether a recorded lease still keeps others away."""
    return lease is not None and lease.expires_at > now and not is_dead(lease.holder)


def granted(recorded: Lease | None, run_id: str, holder: str, ttl: float, now: float) -> Lease:
    """The lease a holder gets, given the one recorded.

    Raises:
        RunLeased: another holder's is in force.
    """
    if recorded is not None and recorded.holder != holder and in_force(recorded, now):
        raise RunLeased(_busy(recorded, now))
    after = recorded.holder if recorded is not None and recorded.holder != holder else ""
    return Lease(run_id, holder, now + ttl, after)


def renewed(recorded: Lease | None, lease: Lease, ttl: float, now: float) -> Lease:
    """The lease prolonged. One that ran out is renewed too, if nobody took the run meanwhile."""
    check_held(recorded, lease.run_id, lease.holder)
    return Lease(lease.run_id, lease.holder, now + ttl)


def check_held(recorded: Lease | None, run_id: str, holder: str) -> None:
    """Raises RunLeased unless the recorded lease is this holder's, be it that it has run out."""
    if recorded is None or recorded.holder != holder:
        other = who(recorded.holder) if recorded is not None and recorded.holder else "another process"
        raise RunLeased(f"run {run_id} was taken over by {other}; this process must stop driving it")


def who(holder: str) -> str:
    host, _, pid = holder.rpartition(":")[0].rpartition(":")
    return f"process {pid} on {host}" if host else holder


def _busy(lease: Lease, now: float) -> str:
    return (
        f"run {lease.run_id} is driven by {who(lease.holder)}; wait for it or stop it "
        f"(its lease ends in {max(0.0, lease.expires_at - now):.0f} s unless renewed)"
    )
