"""A coding loop: write code, run its tests, mend it; files are written in order."""

from agentvm import agent, llm, tool

LOG: list[str] = []


@tool
async def write_file(path: str, text: str) -> None:
    LOG.append(f"write {path}: {text}")


@tool(effect="read")
async def run_tests(text: str) -> list[str]:
    """Names of the tests that fail."""
    return [name for name in ("t1", "t2", "t3") if name not in text]


@tool(idempotent=True)
async def deploy(name: str) -> str:
    if f"deploy {name}" not in LOG:
        LOG.append(f"deploy {name}")
    return f"https://{name}"


@agent
async def code(task: str, repairs: int = 5) -> str:
    text = await llm(f"Code {task}")
    await write_file("main.py", text)
    failures = await run_tests(text)
    while failures and repairs > 0:
        repairs -= 1
        text = await llm(f"Fix {failures[0]} in {text}")
        await write_file("main.py", text)
        failures = await run_tests(text)
    if failures:
        raise RuntimeError(f"{len(failures)} tests fail", failures)
    return await deploy(task)


def script(call):
    words = call.prompt.split()
    return "code" if words[0] == "Code" else f"{call.prompt.partition(' in ')[2]} {words[1]}"


CASES = [(code, ("app",), {}), (code, ("app",), {"repairs": 1})]
