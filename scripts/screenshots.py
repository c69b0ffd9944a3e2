"""Take the pictures of the web page that the documentation shows.

    .venv/bin/python scripts/screenshots.py [--chromium /usr/bin/chromium] [NAME ...]

A server with a scripted model has runs of all kinds; a real headless Chromium looks at them. The model
takes its time as an engine with two slots would, and tells its scheduler's account of that.
"""

from __future__ import annotations

import argparse
import asyncio
import shutil
import socket
import sys
import time
from collections.abc import Awaitable, Callable, Sequence
from contextlib import suppress
from pathlib import Path
from typing import TYPE_CHECKING, Any

import uvicorn

from agentvm import AgentVM, agent, ask_human, llm, tool
from agentvm.server.app import create_app
from agentvm.testing import ScriptedLLM
from agentvm_compiler.wire import CallRecord, HintsChange, ModelCall, ModelResult
from agentvm_runtime.errors import RunSuspended

if TYPE_CHECKING:
    from playwright.async_api import Browser, Page

IMAGES = Path(__file__).parents[1] / "docs" / "images"
FLAGS = ["--headless", "--no-sandbox", "--disable-gpu", "--disable-background-networking", "--no-first-run"]
SIZE = {"width": 1360, "height": 860}
SLOTS = 2
SOON = 0.3
"""Seconds in which a first token is wanted."""
WORD = 0.03
"""Seconds that the model takes for a word."""
HALF = "The night sky is dark because the universe is finite in age: light from the farthest stars"
ANSWERS = {
    "List": ["the age of stars", "dust between galaxies", "redshift"],
    "Write": f"{HALF} has not had the time to reach us, and what did is stretched beyond red.",
    "Shorten": "Light from far stars has not reached us yet, and what did is too red to see.",
    "Sum": "Stars shine for a limited time, and their light needs most of it to get here.",
}


@tool(effect="read")
async def search(query: str) -> list[str]:
    """Find pages."""
    await asyncio.sleep(0.2)
    return [f"Notes on {query}", f"A history of {query}"]


@agent
async def digest(topic: str) -> str:
    """What one topic has to say."""
    hits = await search(topic)
    return await llm(f"Sum up {topic} from {hits}")


@agent
async def chat(question: str) -> str:
    """An answer at the pace of a reader."""
    return await llm(f"Sum up {question}", slo="latency")


@agent(deadline="20s")
async def research(question: str, breadth: int = 3) -> str:
    """A short report on a question."""
    topics = await llm(f"List {breadth} topics of: {question}", returns=list[str])
    notes = [await digest(topic) for topic in topics[:breadth]]
    draft = await llm(f"Write on {question} from {notes}")
    if not await ask_human(f"Publish this?\n\n{draft}", returns=bool):
        draft = await llm(f"Shorten {draft}")
    return draft


class Slots:
    """Knows of each call when it came, was started and was done."""

    def __init__(self) -> None:
        self.known: dict[str, CallRecord] = {}

    async def update(self, changes: Sequence[HintsChange]) -> None:
        return

    async def cancel(self, *, run: str) -> int:
        return 0

    async def served(self, keys: Sequence[str]) -> list[CallRecord]:
        return [self.known[each] for each in keys if each in self.known]

    async def records(self, key: str) -> list[dict[str, Any]]:
        return []


class Model(ScriptedLLM):
    """Says its answers word by word, two at a time; stops in the middle of one that is held."""

    def __init__(self) -> None:
        super().__init__(lambda call: ANSWERS[call.prompt.split()[0]])
        self.scheduler = self.slots = Slots()
        self.held = ""
        """A run whose report stays half said."""
        self._room = asyncio.Semaphore(SLOTS)

    async def complete(
        self, call: ModelCall, progress: Callable[[int, str], None] | None = None
    ) -> ModelResult:
        came = time.time()
        async with self._room:
            began = time.time()
            result = await super().complete(call)
            for number, word in enumerate(result.text.split(" "), 1):
                await asyncio.sleep(WORD)
                if progress is not None:
                    progress(number, f"{word} ")
                if (
                    self.held
                    and call.hints.run == self.held
                    and result.text.startswith(HALF)
                    and number == 16
                ):
                    await asyncio.Event().wait()
        held = max(0.0, began - came - 0.3)
        self.slots.known[call.hints.key] = CallRecord(
            call.hints.key,
            queued_at=came,
            started_at=began,
            finished_at=time.time(),
            held_seconds=held,
            expected_tokens=20,
            updates=1,
            outcome=_outcome(call.hints.slo, began - came),
        )
        return result


def _outcome(slo: str, waited: float) -> str:
    if slo == "best_effort":
        return "no_objective"
    return "missed" if slo == "latency" and waited > SOON else "met"


async def fill(vm: AgentVM, model: Model) -> None:
    """The runs that are looked at."""
    question = "Why is the sky dark at night?"
    done = await vm.start(research, question, run_id="dark-sky")
    with suppress(RunSuspended):
        await done.result()
    await vm.answer(done.id, None, True)
    await (await vm.resume(done.id, agent=research)).result()
    edited = "Olbers asked why the sky is dark: the stars have not shone for long enough."
    options: dict[str, Any] = {"at": "llm#2", "set": {"llm#2": edited}, "agent": research, "deadline": "10m"}
    for name in ("dark-sky-edited", "dark-sky-short"):
        with suppress(RunSuspended):
            await (await vm.fork(done.id, name=name, **options)).result()
    await vm.answer("dark-sky-short", None, False)
    await (await vm.resume("dark-sky-short", agent=research)).result()
    runs = []
    for number in range(50):
        words = {"deadline": "10m"} if number % 5 else {}
        if number % 7 == 3:
            words = {"deadline": 1e-3, "on_deadline": "best_effort"}
        one = digest if words else chat
        runs.append(await vm.start(one, f"topic {number}", **words))
        await asyncio.sleep(0.15)
    for each in runs:
        await each.result()
    model.held = "speaking"
    await vm.start(research, question, run_id="speaking", deadline="2m")


async def picture_of_run(page: Page, at: str) -> None:
    await page.goto(f"{at}/runs/dark-sky-edited")
    await page.locator(".question").wait_for()
    await page.locator(".graph [data-state=given]").wait_for()


async def picture_of_timeline(page: Page, at: str) -> None:
    await page.goto(f"{at}/runs/dark-sky?node=map%231%5B2%5D%2Fdigest%231%2Fllm%231")
    await page.get_by_text("Timeline", exact=True).click()
    await page.locator(".timeline-rows .part").first.wait_for()
    section = page.locator(".section", has_text="its account of the call").first
    await section.evaluate("each => each.scrollIntoView()")


async def picture_of_speaking(page: Page, at: str) -> None:
    await page.goto(f"{at}/runs/speaking?node=llm%232")
    await page.locator(".draft", has_text="finite in age").wait_for(timeout=120_000)
    await page.locator(".graph [data-state=running]").first.wait_for()


async def picture_of_diff(page: Page, at: str) -> None:
    await page.goto(f"{at}/diff/dark-sky/dark-sky-short")
    await page.locator(".diff-row").first.wait_for()


async def picture_of_goodput(page: Page, at: str) -> None:
    await page.goto(f"{at}/goodput")
    await page.locator("figure.attainment").first.wait_for()
    await page.locator("figure.chart").wait_for()


PICTURES: dict[str, tuple[Callable[[Page, str], Awaitable[None]], dict[str, Any]]] = {
    "ui-run": (picture_of_run, {}),
    "ui-timeline": (picture_of_timeline, {}),
    "ui-speaking": (picture_of_speaking, {"color_scheme": "dark"}),
    "ui-diff": (picture_of_diff, {"color_scheme": "dark"}),
    "ui-goodput": (picture_of_goodput, {"viewport": {"width": 1360, "height": 1060}}),
}


async def take(browser: Browser, at: str, names: Sequence[str]) -> None:
    for name in names:
        go, options = PICTURES[name]
        context = await browser.new_context(**{"viewport": SIZE, "reduced_motion": "reduce", **options})
        page = await context.new_page()
        await go(page, at)
        await page.evaluate("document.fonts.ready")
        await page.wait_for_timeout(400)  # what moves into its place is there then
        await page.screenshot(path=IMAGES / f"{name}.png")
        await context.close()
        _shrink(IMAGES / f"{name}.png")
        print(IMAGES / f"{name}.png")


def _shrink(path: Path) -> None:
    """With 256 colours, which are enough for the page, where Pillow is installed."""
    with suppress(ImportError):
        from PIL import Image

        Image.open(path).convert("RGB").quantize(256, dither=Image.Dither.NONE).save(path, optimize=True)


async def main(chromium: str, names: Sequence[str]) -> None:
    from playwright.async_api import async_playwright

    model = Model()
    async with AgentVM(store="memory", llm=model) as vm:
        bound = socket.create_server(("127.0.0.1", 0))
        server = uvicorn.Server(uvicorn.Config(create_app(vm, [research, digest]), log_level="error"))
        task = asyncio.create_task(server.serve([bound]))
        await fill(vm, model)
        async with async_playwright() as tool:
            browser = await tool.chromium.launch(executable_path=chromium, args=FLAGS)
            await take(browser, f"http://127.0.0.1:{bound.getsockname()[1]}/ui/#", names)
            await browser.close()
        server.should_exit = True
        await task
        await vm.cancel("speaking")


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    parser.add_argument("names", nargs="*", choices=[*PICTURES, []], help="only these")
    parser.add_argument("--chromium", default=shutil.which("chromium") or shutil.which("google-chrome"))
    given = parser.parse_args()
    if given.chromium is None:
        sys.exit("There is no Chromium: apt install chromium, or give --chromium PATH.")
    asyncio.run(main(given.chromium, given.names or list(PICTURES)))
