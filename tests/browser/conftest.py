"""A real, headless Chromium, and a page that must not complain."""

from __future__ import annotations

import os
import shutil
from collections.abc import Callable, Iterator
from typing import TYPE_CHECKING, Any

import pytest

if TYPE_CHECKING:
    from playwright.sync_api import Browser, ConsoleMessage, Page

from .site import Model, Site

NAMES = ("chromium", "chromium-browser", "google-chrome", "google-chrome-stable")
FLAGS = [
    "--headless",
    "--no-sandbox",
    "--disable-gpu",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
    "--no-first-run",
]
PATIENCE = 30_000
"""Milliseconds that a condition may take on a busy machine."""


@pytest.fixture(scope="module")
def browser() -> Iterator[Browser]:
    """Chromium as the system has it (AGENTVM_CHROMIUM names another), or a skip with the reason.

    It lasts no longer than a module: while Playwright is there, its event loop is the thread's, and
    asynchronous tests have none.
    """
    playwright = pytest.importorskip("playwright.sync_api", reason="playwright is not installed")
    path = os.environ.get("AGENTVM_CHROMIUM") or next(filter(None, map(shutil.which, NAMES)), None)
    if path is None:
        pytest.skip("there is no Chromium to test with: apt install chromium, or set AGENTVM_CHROMIUM")
    with playwright.sync_playwright() as tool:
        running = tool.chromium.launch(executable_path=path, args=FLAGS)
        yield running
        running.close()


@pytest.fixture
def model() -> Model:
    return Model()


@pytest.fixture
def site(model: Model) -> Iterator[Site]:
    """A server over an empty store in memory."""
    running = Site("memory", model)
    yield running
    running.stop()


@pytest.fixture
def open_page(browser: Browser) -> Iterator[Callable[..., Page]]:
    """Opens a page; at the end of the test none may have logged an error."""
    contexts, complaints = [], []

    def complain(message: ConsoleMessage, allowed: tuple[str, ...]) -> None:
        if message.type == "error" and not any(each in message.text for each in allowed):
            complaints.append(message.text)

    def open_page(url: str, *, allowed: tuple[str, ...] = (), **options: Any) -> Page:
        context = browser.new_context(**{"viewport": {"width": 1360, "height": 860}, **options})
        contexts.append(context)
        page = context.new_page()
        page.set_default_timeout(PATIENCE)
        page.on("console", lambda message: complain(message, allowed))
        page.on("pageerror", lambda error: complaints.append(str(error)))
        page.goto(url)
        return page

    yield open_page
    for each in contexts:
        each.close()
    assert complaints == []


@pytest.fixture
def page(site: Site, open_page: Callable[..., Page]) -> Page:
    """The page, at the list of runs."""
    return open_page(site.url)
