"""A file organiser: proposes a folder for each file, moves what is agreed, and reports a plan otherwise."""

from pathlib import PurePosixPath

from agentvm import agent, llm, tool

LOG: list[str] = []
DISK = {"cat.jpg": "image", "tax.pdf": "document", "notes.txt": "document", "x.bin": "binary"}


@tool(effect="read")
async def list_files() -> list[str]:
    return sorted(DISK)


@tool(effect="read")
async def peek(name: str) -> str:
    return DISK[name]


@tool
async def move(name: str, folder: PurePosixPath) -> PurePosixPath:
    if folder.name == "binary":
        raise PermissionError(f"{name} is in use")
    LOG.append(f"{name} -> {folder}")
    return folder / name


@agent
async def organise(dry_run: bool = False) -> dict[str, list[str]]:
    names = await list_files()
    kinds = [await peek(name) for name in names]
    folders = [
        await llm(f"Folder for {name} ({kind})") if kind != "binary" else "binary"
        for name, kind in zip(names, kinds, strict=True)
    ]
    report: dict[str, list[str]] = {"moved": [], "failed": [], "planned": []}
    for name, folder in zip(names, folders, strict=True):
        target = PurePosixPath("/home") / folder
        if dry_run:
            report["planned"].append(f"{name} -> {target}")
            continue
        try:
            moved = await move(name, target)
        except PermissionError as error:
            report["failed"].append(str(error))
        else:
            report["moved"].append(str(moved))
    return report


def script(call):
    return "pictures" if "image" in call.prompt else "papers"


CASES = [(organise, (), {}), (organise, (True,), {})]
