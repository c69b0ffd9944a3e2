"""How soon the web page is of use for a run of 1,000 nodes, in a real headless Chromium.

    .venv/bin/python benchmarks/page.py [--runs 7] [--chromium /usr/bin/chromium]

Milliseconds from the beginning of the navigation, in a new tab without a cache, to when the document has

- `head`: how the run stands, its deadline and the numbers of its nodes and tokens;
- `graph`: the graph, with the states of its nodes;
- `list`: the timeline, where that is the view.

`wide` is a map of 500 iterations, each a called agent with two model calls: 1,501 nodes; `row` is 1,000 model
calls written one after the other.
"""

from __future__ import annotations

import argparse
import asyncio
import importlib.util
import json
import shutil
import socket
import statistics
import sys
import tempfile
from pathlib import Path
from typing import Any

import uvicorn

from agentvm import AgentVM
from agentvm.server.app import create_app
from agentvm.testing import ScriptedLLM

WIDE = """
from agentvm import agent, llm

@agent
async def one(number: int) -> str:
    first = await llm(f"first {number}", temperature=0)
    return await llm(f"second {first}", temperature=0)

@agent
async def wide(width: int) -> list[str]:
    return [await one(number) for number in range(width)]
"""
CALLS = 1000
ROW = (
    """
from agentvm import agent, llm

@agent
async def row(number: int) -> str:
    text = str(number)
    """
    + "\n    ".join(f'text = await llm(f"{n} {{text[:9]}}", temperature=0)' for n in range(CALLS))
    + """
    return text
"""
)
SEEN = {"head": ".run-title .chip", "graph": ".graph [data-state=done]", "list": ".timeline-rows .bar"}
WATCH = """
window.seen = {};
const wanted = %s;
const told = {};
window.until = {};
for (const name in wanted) window.until[name] = new Promise((tell) => { told[name] = tell; });
new MutationObserver(() => {
  for (const [name, selector] of Object.entries(wanted)) {
    if (name in window.seen || !document.querySelector(selector)) continue;
    told[name](window.seen[name] = performance.now());
  }
}).observe(document, { childList: true, subtree: true, attributes: true });
"""
FLAGS = ["--headless", "--no-sandbox", "--disable-gpu", "--disable-background-networking", "--no-first-run"]


def loaded(folder: Path, name: str, source: str) -> Any:
    """The agent of that name from a file with that source."""
    path = folder / f"bench_{name}.py"
    path.write_text(source)
    spec = importlib.util.spec_from_file_location(path.stem, path)
    assert spec is not None and spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    sys.modules[path.stem] = module
    spec.loader.exec_module(module)
    return getattr(module, name)


async def measure(chromium: str, times: int) -> dict[str, dict[str, list[float]]]:
    """Milliseconds by program and what is seen."""
    from playwright.async_api import async_playwright

    found: dict[str, dict[str, list[float]]] = {}
    with tempfile.TemporaryDirectory() as folder:
        agents = [loaded(Path(folder), name, source) for name, source in (("wide", WIDE), ("row", ROW))]
        async with AgentVM(store="memory", llm=ScriptedLLM(lambda call: f"{call.prompt}!")) as vm:
            for agent in agents:
                await vm.run(agent, 500, run_id=agent.name)
            bound = socket.create_server(("127.0.0.1", 0))
            place = f"http://127.0.0.1:{bound.getsockname()[1]}/ui/#/runs"
            server = uvicorn.Server(uvicorn.Config(create_app(vm, agents), log_level="error"))
            task = asyncio.create_task(server.serve([bound]))
            async with async_playwright() as tool:
                browser = await tool.chromium.launch(executable_path=chromium, args=FLAGS)
                for agent in agents:
                    for view in ("graph", "timeline"):
                        for _ in range(times):
                            seen = await look(browser, f"{place}/{agent.name}", view)
                            for name, moment in seen.items():
                                found.setdefault(agent.name, {}).setdefault(name, []).append(moment)
                await browser.close()
            server.should_exit = True
            await task
    return found


async def look(browser: Any, url: str, view: str) -> dict[str, float]:
    """When what was seen, at one visit of a new visitor."""
    context = await browser.new_context(viewport={"width": 1360, "height": 860})
    page = await context.new_page()
    await page.add_init_script(f"localStorage.setItem('agentvm-view', {json.dumps(json.dumps(view))});")
    await page.add_init_script(WATCH % json.dumps(SEEN))
    await page.goto(url)
    last = "graph" if view == "graph" else "list"
    seen: dict[str, float] = await page.evaluate(
        f"Promise.all([until.head, until.{last}]).then(() => window.seen)"
    )
    await context.close()
    return seen


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    parser.add_argument("--runs", type=int, default=7)
    parser.add_argument("--chromium", default=shutil.which("chromium") or shutil.which("google-chrome"))
    given = parser.parse_args()
    if given.chromium is None:
        sys.exit("There is no Chromium: apt install chromium, or give --chromium PATH.")
    print("milliseconds: median (best), of", given.runs, "visits")
    for program, seen in asyncio.run(measure(given.chromium, given.runs)).items():
        figures = (
            f"{name} {statistics.median(each):.0f} ({min(each):.0f})" for name, each in sorted(seen.items())
        )
        print(f"{program:<6}", "   ".join(figures))


if __name__ == "__main__":
    main()
