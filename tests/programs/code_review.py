"""Code review: every changed file is reviewed by several reviewers; serious remarks are checked again."""

from typing import Literal

from pydantic import BaseModel

from agentvm import agent, llm, tool

LOG: list[str] = []
FILES = {"a.py": "def f(): pass", "b.py": "eval(input())", "c.lock": "hash"}


class Remark(BaseModel):
    file: str
    severity: Literal["nit", "warning", "error"]
    text: str


@tool(effect="read")
async def changed_files(pull: int) -> list[str]:
    return sorted(FILES)[:pull]


@tool(effect="read")
async def diff(name: str) -> str:
    return FILES[name]


@tool
async def comment(pull: int, text: str) -> int:
    LOG.append(f"{pull}: {text}")
    return len(LOG)


@agent
async def review_file(name: str) -> list[Remark]:
    patch = await diff(name)
    remarks = []
    for role in ("security", "style"):
        found = await llm(f"As {role} reviewer: {name}\n{patch}", returns=list[Remark])
        for remark in found:
            if remark.severity == "error":
                verdict = await llm(f"Is this right? {remark.text}")
                if verdict == "no":
                    continue
            remarks.append(remark)
    return remarks


@agent
async def review(pull: int) -> str:
    names = [name for name in await changed_files(pull) if not name.endswith(".lock")]
    reviewed = [await review_file(name) for name in names]
    remarks = [remark for some in reviewed for remark in some]
    for remark in sorted(remarks, key=lambda each: each.file):
        if remark.severity != "nit":
            await comment(pull, f"{remark.file}: {remark.text}")
    errors = sum(remark.severity == "error" for remark in remarks)
    return "request changes" if errors else "approve"


def script(call):
    if call.prompt.startswith("Is this right"):
        return "yes" if "eval" in call.prompt else "no"
    name, severity = call.prompt.split(": ")[1].split("\n")[0], "nit"
    if "security" in call.prompt:
        severity = "error"
        text = "eval is dangerous" if "eval" in call.prompt else "no types"
        return [Remark(file=name, severity=severity, text=text)]
    return [
        Remark(file=name, severity=severity, text="blank"),
        Remark(file=name, severity="warning", text="w"),
    ]


CASES = [(review, (pull,), {}) for pull in (0, 1, 3)]
