"""Tools that raise, with try, except, else and finally around the awaits."""

from agentvm import agent, llm, tool

LOG: list[str] = []


class Unavailable(ConnectionError):
    """With attributes that are not its arguments."""

    def __init__(self, service: str, *, code: int = 503) -> None:
        super().__init__(service)
        self.code = code


@tool(effect="read")
async def fetch(url: str) -> str:
    if "down" in url:
        raise Unavailable(url, code=len(url))
    if "bad" in url:
        raise ValueError("bad url", url)
    return f"page {url}"


@tool
async def report(text: str) -> None:
    LOG.append(text)
    if "crash" in text:
        raise OSError(5, "cannot write")


@agent
async def robust(urls: list[str]) -> dict[str, str]:
    pages: dict[str, str] = {}
    for url in urls:
        try:
            page = await fetch(url)
        except Unavailable as error:
            pages[url] = f"down {error.code}"
            await report(f"{url} is down")
        except ValueError as error:
            pages[url] = f"refused {error.args[1]}"
        else:
            pages[url] = await llm(f"read {page}")
        finally:
            await report(f"done {url}")
    return pages


@agent
async def first_failure(urls: list[str]) -> list[str]:
    return [await fetch(url) for url in urls]


@agent
async def wrapped(url: str) -> str:
    try:
        return await fetch(url)
    except ConnectionError as error:
        raise RuntimeError("no page") from error


@agent
async def write_fails() -> str:
    try:
        await report("crash now")
    except OSError as error:
        return f"{error.errno} {error.strerror}"
    return "fine"


@agent
async def caught_from_agent(urls: list[str]) -> str:
    try:
        found = await first_failure(urls)
    except Unavailable as error:
        return f"{type(error).__name__} {error.args} {error.code}"
    return f"{len(found)}"


def script(call):
    return call.prompt.upper()


CASES = [
    (robust, (["a", "down.b", "bad.c", "d"],), {}),
    (first_failure, (["a", "down.b", "bad.c"],), {}),
    (first_failure, (["a", "bad.c", "down.b"],), {}),
    (wrapped, ("down",), {}),
    (wrapped, ("bad",), {}),
    (wrapped, ("up",), {}),
    (write_fails, (), {}),
    (caught_from_agent, (["a", "down"],), {}),
    (caught_from_agent, (["a", "b"],), {}),
    (caught_from_agent, (["bad", "down"],), {}),
]
