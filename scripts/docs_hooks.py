"""What MkDocs does besides: the command line's reference, and links to files of the repository.

Pages are read in the repository as well, where links to source files lead somewhere.
On the site they become the files' names; one to a file that is not there is an error.
"""

from __future__ import annotations

import re
import sys
from pathlib import Path
from typing import Any

from mkdocs.exceptions import PluginError
from mkdocs.structure.files import File, Files

ROOT = Path(__file__).resolve().parent.parent
DOCS = ROOT / "docs"
LINK = re.compile(r"\[(?P<text>[^\]]+)\]\((?P<target>(?:\.\./)+[^)#\s]+)(?P<anchor>#[^)\s]*)?\)")
FENCE = re.compile(r"(^ *```.*?^ *```[^\n]*$)", re.MULTILINE | re.DOTALL)


def on_files(files: Files, config: Any, **_: Any) -> Files:
    """Add the page that is made of the commands' own help."""
    files.append(File.generated(config, "reference/cli.md", content=command_line()))
    return files


def on_page_markdown(markdown: str, page: Any, **_: Any) -> str:
    """Links to files outside of the documentation become the files' names."""
    folder = (DOCS / page.file.src_uri).parent

    def name(link: re.Match[str]) -> str:
        path = (folder / link["target"]).resolve()
        if path.is_relative_to(DOCS):
            return link[0]
        if not path.exists():
            raise PluginError(f"{page.file.src_uri}: there is no file {link['target']}")
        text = link["text"]
        return text if "`" in text or not text.endswith((".py", ".json", "/")) else f"`{text}`"

    parts = FENCE.split(markdown)
    return "".join(part if part.lstrip().startswith("```") else LINK.sub(name, part) for part in parts)


def command_line() -> str:
    """All commands with their options, as Markdown."""
    for each in (ROOT, *(ROOT / part for part in ("compiler", "runtime", "serving"))):
        if str(each) not in sys.path:
            sys.path.insert(0, str(each))
    import click
    import typer.main
    from typer.cli import get_docs_for_click

    from agentvm.cli import app

    command = typer.main.get_command(app)
    context = click.Context(command, info_name="agentvm")
    text = get_docs_for_click(obj=command, ctx=context, name="agentvm", title="Command line")
    return text + "\n"
