"""New projects: a small agent with its test, ready to run (`agentvm new NAME`)."""

from __future__ import annotations

import re
from importlib.resources import files
from pathlib import Path
from string import Template

from agentvm_compiler.errors import InputError

FILES = {
    "README.md": "README.md.txt",
    "Makefile": "Makefile.txt",
    "pyproject.toml": "pyproject.toml.txt",
    ".gitignore": "gitignore.txt",
    "$module.py": "agent.py.txt",
    "tests/test_$module.py": "test_agent.py.txt",
}
"""Files of a project and of `template/`; both with the names filled in."""


def create(folder: Path) -> list[Path]:
    """Write a project into a folder that is new or empty. Returns its files.

    Raises:
        InputError: the name makes no module, or there is something in the folder already.
    """
    name = folder.resolve().name
    module = re.sub(r"[-. ]+", "_", name).lower()
    if not module.isidentifier() or not module.isascii():
        raise InputError(
            f"{name!r} makes no name of a Python module. Use letters, digits and dashes, such as 'my-agent'."
        )
    if folder.exists() and (not folder.is_dir() or any(folder.iterdir())):
        raise InputError(f"{folder} exists and is not an empty folder. Choose another name.")
    names = {"name": name, "module": module}
    written = []
    for target, source in FILES.items():
        path = folder / Template(target).substitute(names)
        path.parent.mkdir(parents=True, exist_ok=True)
        text = files("agentvm").joinpath("template", source).read_text(encoding="utf-8")
        path.write_text(Template(text).substitute(names), encoding="utf-8")
        written.append(path)
    return written
