"""Map and reduce: a digest of all the files of a folder.

    agentvm run examples/digest_folder.py:digest -i folder=docs

Files are summarised side by side, at most eight at a time. A greedy answer is kept
for ever under the file's contents: run it again after editing one file, and only
that file and what is above it in the tree is asked for again.
"""

from pathlib import Path

from agentvm import agent, llm, tool

FAN_IN = 4


@tool(effect="read")
def list_files(folder: str, suffix: str) -> list[str]:
    """The paths of the folder's files, in order."""
    return sorted(str(path) for path in Path(folder).rglob(f"*{suffix}") if path.is_file())


@tool(effect="read", limit=8)
def read_text(path: str, most: int = 4000) -> str:
    """The beginning of a file."""
    with Path(path).open(encoding="utf-8", errors="replace") as file:
        return file.read(most)


@agent
async def summarise(path: str) -> str:
    """One sentence on a file."""
    text = read_text(path)
    return await llm(f"Say in one sentence what this file is about.\n\n{text}", temperature=0, max_tokens=50)


@agent(deadline="10m")
async def digest(folder: str, suffix: str = ".md") -> str:
    """What the files of a folder are about."""
    paths = list_files(folder, suffix)
    if not paths:
        return f"There are no *{suffix} files in {folder}."
    notes = [await summarise(path) for path in paths]
    while len(notes) > 1:
        groups = [notes[start : start + FAN_IN] for start in range(0, len(notes), FAN_IN)]
        notes = [
            await llm(
                "Say in two sentences what these have in common:\n" + "\n".join(group),
                temperature=0,
                max_tokens=80,
            )
            for group in groups
        ]
    return notes[0]
