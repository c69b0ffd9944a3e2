"""The page by keyboard, by screen reader and on a small screen; axe looks at it in both themes."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Any

import httpx
import pytest

from .site import Model, Site

if TYPE_CHECKING:
    from playwright.sync_api import Page

AXE = Path(__file__).parent / "assets" / "axe.min.js"
"""axe-core 4.14.1 (MPL 2.0), as npm has it."""
ALL = {"type": "tag", "values": ["wcag2a", "wcag2aa", "wcag21a", "wcag21aa", "wcag22aa", "best-practice"]}
COLOURS = {"type": "rule", "values": ["color-contrast", "link-in-text-block"]}
RULES = """runOnly => axe.run(document, {runOnly, resultTypes: ['violations']})
  .then(found => found.violations.flatMap(each => each.nodes.map(
    node => `${each.id}: ${node.target.join(' ')}\n${node.failureSummary}`)))"""
WIDER = """() => {
  const width = document.documentElement.clientWidth;
  const wide = [...document.querySelectorAll('body *')].filter(each => {
    const scrolls = each.closest('svg, .sr-only, .skip, .table-wrap, .virtual, pre');
    if (!each.checkVisibility() || scrolls) return false;
    const box = each.getBoundingClientRect();
    return box.width > 0 && (box.right > width + 1 || box.left < -1);
  });
  return wide.map(each => each.outerHTML.slice(0, 160));
}"""


@pytest.fixture(scope="module")
def places() -> Any:
    """A server with runs of all kinds, and the places of the page with what shows that each is there."""
    model = Model({"say": "what a long word " + "x" * 90})
    model.scheduled = True
    site = Site("memory", model)
    done = site.begin("research", question="why")
    site.ended(done)
    failed = site.begin("breaks", word="no")
    site.ended(failed)
    asking = site.begin("asks", topic="dust")
    fork = httpx.post(f"{site.url}/v1/runs/{done}/fork", json={"at": "llm#2"}).json()["run"]["id"]
    site.ended(fork)
    model.speak("draft", "half an answer ")
    speaking = site.begin("research", question="how")
    found = {
        "runs": ("", "[role=option]"),
        "goodput": ("goodput", ".card-box"),
        "run": (f"runs/{done}", ".graph [data-state=done]"),
        "fork": (f"runs/{fork}", ".tree-row"),
        "node": (f"runs/{done}?node=llm%232", ".account"),
        "failed": (f"runs/{failed}", ".section pre"),
        "question": (f"runs/{asking}", ".question"),
        "speaking": (f"runs/{speaking}?node=llm%232", ".draft"),
        "diff": (f"diff/{done}/{fork}", ".diff-sum"),
        "nowhere": ("elsewhere", ".empty"),
    }
    yield site, found
    site.stop()


Open = Callable[..., "Page"]
NAMES = ("runs", "goodput", "run", "fork", "node", "failed", "question", "speaking", "diff", "nowhere")


def visit(page: Page, site: Site, place: tuple[str, str]) -> None:
    page.goto(f"{site.url}/ui/#/{place[0]}")
    page.locator(place[1]).first.wait_for()


@pytest.mark.parametrize(("scheme", "rules"), [("light", ALL), ("dark", COLOURS)])
def test_axe_finds_nothing_wrong(places: Any, open_page: Open, scheme: str, rules: dict[str, Any]) -> None:
    """On no page, in no dialog; in the dark, of what has to do with colours."""
    site, found = places
    page = open_page(site.url, color_scheme=scheme, bypass_csp=True, reduced_motion="reduce")
    page.add_init_script(path=AXE)
    page.reload()
    wrong: list[str] = []

    def check(name: str) -> None:
        wrong.extend(f"{name}: {each}" for each in page.evaluate(RULES, rules))

    for name in NAMES:
        visit(page, site, found[name])
        check(name)
    visit(page, site, found["run"])
    page.get_by_text("Timeline", exact=True).click()
    page.locator(".timeline-rows .bar").first.wait_for()
    check("timeline")
    for button in ("Start a run", "Fork…", "Compare…"):
        page.get_by_role("button", name=button).click()
        page.get_by_role("dialog").locator("input, textarea, select").first.wait_for()
        check(button)
        page.keyboard.press("Escape")
    assert wrong == []


def test_all_fits_a_small_screen(places: Any, open_page: Open) -> None:
    """Nothing is wider than 360 pixels, but for what scrolls by itself."""
    site, found = places
    page = open_page(site.url, viewport={"width": 360, "height": 740}, bypass_csp=True)
    wide: dict[str, list[str]] = {}
    for name in NAMES:
        visit(page, site, found[name])
        wide[name] = page.evaluate(WIDER)
    for name, button in (("runs", "Start a run"), ("run", "Fork…"), ("run", "Compare…")):
        visit(page, site, found[name])
        page.get_by_role("button", name=button).locator("visible=true").first.click()
        page.get_by_role("dialog").locator("input, textarea, select").first.wait_for()
        wide[button] = page.evaluate(WIDER)
        page.keyboard.press("Escape")
    page.get_by_text("Timeline", exact=True).click()
    page.locator(".timeline-rows .bar").first.wait_for()
    wide["timeline"] = page.evaluate(WIDER)
    assert {name: each for name, each in wide.items() if each} == {}
