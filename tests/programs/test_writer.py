"""Test generation: tests are written for each function, run, and repaired a few times or given up."""

from agentvm import agent, llm, tool

LOG: list[str] = []


class SuiteFailed(Exception):
    """A test does not pass."""


@tool(effect="read")
async def functions_of(module: str) -> list[str]:
    return [f"{module}.{name}" for name in ("add", "sub", "div")]


@tool(effect="read")
async def run_test(code: str) -> int:
    if "wrong" in code:
        raise SuiteFailed(code)
    if "syntax" in code:
        raise SyntaxError(code)
    return len(code)


@tool
async def save(path: str, code: str) -> None:
    LOG.append(f"{path} <- {code}")


@agent
async def write_tests(module: str, attempts: int = 2) -> dict[str, str]:
    outcome: dict[str, str] = {}
    for function in await functions_of(module):
        code = await llm(f"Write a test of {function}")
        for attempt in range(attempts):
            try:
                await run_test(code)
            except SuiteFailed as failure:
                code = await llm(f"Repair {code} ({attempt}): {failure}")
            except SyntaxError:
                outcome[function] = "does not parse"
                break
            else:
                await save(f"test_{function}.py", code)
                outcome[function] = "ok"
                break
        else:
            outcome[function] = "given up"
    return outcome


def script(call):
    if call.prompt.startswith("Write"):
        if "div" in call.prompt:
            return "syntax(div)"
        return "wrong wrong wrong sub" if "sub" in call.prompt else "wrong add"
    return call.prompt.removeprefix("Repair ").split(" (")[0].replace("wrong ", "", 1)


CASES = [(write_tests, ("m",), {}), (write_tests, ("m", 5), {}), (write_tests, ("m",), {"attempts": 0})]
