"""Write the texts of the stores' statements for SQLite, which are kept beside the statements."""

from __future__ import annotations

import json

from agentvm_runtime.store.statements import TEXTS, named


def text() -> str:
    """What the file should hold."""
    return json.dumps({name: each.compiled for name, each in sorted(named().items())}, indent=1) + "\n"


if __name__ == "__main__":
    TEXTS.write_text(text(), encoding="utf-8")
