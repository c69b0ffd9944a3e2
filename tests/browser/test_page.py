"""What people do with the page, end to end: a real browser, a real server, a scripted model."""

from __future__ import annotations

import re
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from agentvm.loading import load_agent

from .site import Model, Site

if TYPE_CHECKING:
    from playwright.sync_api import Locator, Page, Route

DRAFT = "llm#2"


def expect(locator: Locator) -> object:
    from playwright.sync_api import expect as playwright_expect

    playwright_expect.set_options(timeout=30_000)
    return playwright_expect(locator)


def node(page: Page, path: str, state: str) -> Locator:
    """A node of the graph in a state."""
    return page.locator(f'.graph [data-path="{path}"][data-state="{state}"]')


def status(page: Page, word: str) -> Locator:
    return page.locator(".run-title .chip", has_text=word)


def look(page: Page, site: Site, run: str, where: str = "") -> None:
    page.goto(f"{site.url}/ui/#/runs/{run}{where}")


def test_a_run_is_started_and_its_nodes_are_seen_to_finish(page: Page, site: Site, model: Model) -> None:
    """A form made of the agent's inputs starts a run; nodes go from to come, by running, to done."""
    release = model.hold("draft")
    page.get_by_role("button", name="Start a run").first.click()
    page.get_by_role("dialog").get_by_label("Agent").select_option(label="research")
    page.get_by_label("question").fill("why is it dark")
    page.get_by_label("breadth").fill("two")
    page.get_by_role("button", name="Start", exact=True).click()
    page.get_by_text("This is not a number.").wait_for()
    page.get_by_label("breadth").fill("2")
    page.get_by_text("florid").click()
    page.get_by_role("button", name="Start", exact=True).click()

    node(page, "llm#1", "done").wait_for()
    node(page, DRAFT, "running").wait_for()
    node(page, "llm#3", "pending").wait_for()
    expect(page.locator(".graph .cell.s-done")).to_have_count(2)  # both iterations of the map
    status(page, "running").wait_for()
    assert any("draft florid of" in each for each in model.prompts)

    release()
    node(page, DRAFT, "done").wait_for()
    node(page, "llm#3", "done").wait_for()
    status(page, "completed").wait_for()
    page.get_by_role("region", name="result").get_by_text("polish").wait_for()
    page.locator(".deadline", has_text="met").wait_for()


def test_a_fork_with_an_edited_value_is_compared_with_its_parent(page: Page, site: Site) -> None:
    """What the edit does not touch is inherited, what depends on it runs again, and the difference shows."""
    parent = site.begin("research", question="why")
    site.ended(parent)
    look(page, site, parent)
    node(page, DRAFT, "done").click()
    page.get_by_role("region", name="output").wait_for()
    page.get_by_role("button", name="Fork from here…").click()
    page.get_by_role("textbox", name="Value").fill("my own draft")
    page.get_by_role("button", name="Fork", exact=True).click()

    page.wait_for_url(lambda url: "/runs/" in url and parent not in url)
    node(page, "llm#1", "reused").wait_for()
    node(page, DRAFT, "given").wait_for()
    node(page, "llm#3", "done").wait_for()
    status(page, "completed").wait_for()
    page.get_by_role("region", name="result").get_by_text("<polish my own draft>").wait_for()
    expect(page.locator(".tree-row")).to_have_count(2)

    page.get_by_role("link", name=f"Compare with {parent}").click()
    parted = page.locator("section.parted").get_by_role("article", name=DRAFT)
    parted.get_by_role("region", name=f"{DRAFT} in A").get_by_text("my own draft").wait_for()
    parted.get_by_role("region", name=f"{DRAFT} in B").get_by_text("<draft plain of").wait_for()
    page.get_by_role("article", name="llm#3").wait_for()
    assert page.get_by_role("article", name="llm#1").count() == 0


def test_questions_are_answered(site: Site, open_page: Callable[..., Page]) -> None:
    """A question of yes or no, then one whose answer has fields; what does not fit those is refused."""
    run = site.begin("asks", topic="dust")
    page = open_page(f"{site.url}/ui/#/runs/{run}", allowed=("422",))
    first = page.get_by_role("form", name="Question human#1")
    first.get_by_text("Go on with dust?").wait_for()
    first.get_by_text("Yes", exact=True).click()
    first.get_by_role("button", name="Answer").click()

    second = page.get_by_role("form", name="Question human#2")
    second.get_by_text("How good is dust?").wait_for()
    second.get_by_label("Your answer").fill('{"verdict": "good", "stars": 9}')
    second.get_by_role("button", name="Answer").click()
    second.get_by_role("alert").wait_for()
    second.get_by_label("Your answer").fill('{"verdict": "good", "stars": 5, "remark": "fine"}')
    second.get_by_role("button", name="Answer").click()
    page.get_by_role("region", name="result").get_by_text("good, 5 stars, fine").wait_for()
    status(page, "completed").wait_for()


def test_an_old_state_that_comes_late_takes_nothing_away(site: Site, open_page: Callable[..., Page]) -> None:
    """A state from before a question, answered after it: the question stays, and what was typed."""
    run = site.begin("asks", topic="dust")
    page = open_page(f"{site.url}/ui/#/runs/{run}")
    first = page.get_by_role("form", name="Question human#1")
    first.get_by_text("Yes", exact=True).click()
    before = page.request.get(f"{site.url}/v1/runs/{run}").text()
    late: list[Route] = []
    page.route(f"**/v1/runs/{run}", lambda route: route.continue_() if late else late.append(route))
    first.get_by_role("button", name="Answer").click()

    second = page.get_by_role("form", name="Question human#2")
    answer = second.get_by_label("Your answer")
    answer.fill('{"verdict": "good", "stars": 5, "remark": "fine"}')
    with page.expect_event("requestfinished", lambda request: request == late[0].request):
        late[0].fulfill(body=before, content_type="application/json")
    page.evaluate("() => new Promise((done) => requestAnimationFrame(() => requestAnimationFrame(done)))")
    assert answer.input_value() == '{"verdict": "good", "stars": 5, "remark": "fine"}'
    second.get_by_role("button", name="Answer").click()
    page.get_by_role("region", name="result").get_by_text("good, 5 stars, fine").wait_for()


def test_the_page_outlives_a_restart_of_the_server_in_mid_run(
    open_page: Callable[..., Page], tmp_path: Path, model: Model
) -> None:
    """It says that it is cut off, connects again by itself, and the run goes on where it was."""
    site = Site(f"sqlite+aiosqlite:///{tmp_path / 'runs.db'}", model)
    model.hold("draft")
    run = site.begin("research", question="why")
    page = open_page(f"{site.url}/ui/#/runs/{run}", allowed=("ERR_CONNECTION", "ERR_INCOMPLETE", "ERR_EMPTY"))
    node(page, DRAFT, "running").wait_for()
    site.stop()
    page.locator("[data-broken]").wait_for()

    release = model.hold("draft")
    site.start()
    page.locator("[data-broken]").wait_for(state="detached")
    node(page, DRAFT, "running").wait_for()
    release()
    status(page, "completed").wait_for()
    node(page, "llm#3", "done").wait_for()
    assert sum(each.startswith("topics") for each in model.prompts) == 1  # what was done stayed done
    site.stop()


def test_what_a_model_answers_is_never_markup(
    site: Site, model: Model, open_page: Callable[..., Page]
) -> None:
    """Scripts, handlers and links in outputs, errors, inputs and questions are shown as the text they are."""
    attack = "<script>window.hit=1</script><img src=x onerror=window.hit=1>[x](javascript:window.hit=1)"
    other = site.begin("research", question="why")
    site.ended(other)
    model.answers |= {"draft": attack, "polish": attack, "say": attack}
    run = site.begin("research", question=attack)
    failed = site.begin("breaks", word=attack)
    asking = site.begin("asks", topic=attack)
    for each in (run, failed):
        site.ended(each)
    page = open_page(site.url)
    places = {
        f"/ui/#/runs/{run}": 'section:has(h3:text("Result")) pre',
        f"/ui/#/runs/{run}?node=llm%232": 'section:has(h3:text("Output")) pre',
        f"/ui/#/runs/{failed}": 'section:has(h3:text("Error")) pre',
        f"/ui/#/runs/{asking}": ".question-text",
        f"/ui/#/diff/{run}/{other}": "pre.diff-cell",
    }
    for place, shown in places.items():
        page.goto(site.url + place)
        page.locator(shown, has_text="<script>window.hit=1</script>").first.wait_for()
        assert page.locator("main script, main img, main a[href^=javascript]").count() == 0
    assert page.evaluate("window.hit") is None


def test_what_a_model_says_is_seen_as_it_says_it(page: Page, site: Site, model: Model) -> None:
    """In the run's panel and the node's, as the text it is; at the end the recorded output is there."""
    attack = "<img src=x onerror=window.hit=1>"
    more, rest, end = model.speak("draft", f"first words {attack} ", "second words ", "last words")
    run = site.begin("research", question="why")
    look(page, site, run)
    tail = page.locator(".drafts .draft-tail")
    tail.filter(has_text=f"first words {attack}").wait_for()
    node(page, DRAFT, "running").click()
    said = page.get_by_role("region", name="output so far")
    said.filter(has_text=f"first words {attack}").wait_for()
    more()
    said.filter(has_text="second words").wait_for()
    rest()
    said.filter(has_text="second words last words").wait_for()

    late = page.context.new_page()
    late.goto(f"{site.url}/ui/#/runs/{run}?node=llm%232")
    late.get_by_role("region", name="output so far").filter(has_text="first words").wait_for()
    end()
    page.get_by_role("region", name="output", exact=True).filter(has_text="last words").wait_for()
    expect(said).to_have_count(0)
    assert page.locator("main img").count() == 0
    assert page.evaluate("window.hit") is None
    site.ended(run)


def test_the_schedulers_account_is_shown_with_each_call(open_page: Callable[..., Page], model: Model) -> None:
    """When it was queued, held, started, preempted and done, and to what end: in words and as a bar."""
    model.scheduled = True
    release = model.hold("polish")
    site = Site("memory", model)
    run = site.begin("research", question="why")
    page = open_page(f"{site.url}/ui/#/runs/{run}?node=llm%232")
    account = page.locator(".account li")
    account.filter(has_text="in time for its objective").wait_for()
    steps = [each.split("\n")[0] for each in account.all_inner_texts()]
    assert steps == ["queued", "held back", "started", "preempted", "finished"]
    page.get_by_text("40 tokens out").wait_for()
    page.get_by_text("Timeline", exact=True).click()
    words = re.compile(r"llm#2.*done; waiting 0.3 s, held back 0.3 s, running 1.0 s, preempted once$")
    option = page.get_by_role("option", name=words)
    option.wait_for()
    for part in ("waiting", "held", "served"):
        expect(option.locator(f".part.{part}")).to_have_count(1)
    release()
    status(page, "completed").wait_for()
    page.reload()
    option.locator(".part.held").wait_for(state="attached")
    page.context.close()
    site.stop()


def test_a_run_of_a_thousand_nodes_is_drawn_in_part(page: Page, site: Site) -> None:
    """All nodes are counted and can be reached, and only those in sight are in the document."""
    run = site.begin("wide", width=500)
    site.ended(run)
    look(page, site, run)
    page.locator(".numbers", has_text="1,501").wait_for()  # two calls in each of 500 agents, and the return
    node(page, "map#1[499]/one#1/llm#2", "done").wait_for()
    page.get_by_text("Timeline", exact=True).click()
    rows = page.get_by_role("listbox", name="Nodes")
    rows.locator("[role=option]").first.wait_for()
    expect(rows.locator("[role=option]").first).to_have_attribute("aria-setsize", "1500")
    assert rows.locator("[role=option]").count() < 100
    rows.press("End")
    last = rows.locator("[role=option][aria-selected=true]")
    last.wait_for()
    expect(last).to_have_attribute("aria-posinset", "1500")
    page.keyboard.press("/")
    page.keyboard.type("[321]")
    rows.locator("[role=option][aria-setsize='3']").first.wait_for()


THOUSAND = """
from agentvm import agent, llm

@agent
async def row(text: str) -> str:
    %s
    return text

@agent
async def wide(width: int) -> list[str]:
    return [await llm(f"call {number}", temperature=0) for number in range(width)]
"""


def test_a_thousand_calls_in_a_row_and_side_by_side_are_laid_out(
    open_page: Callable[..., Page], tmp_path: Path, model: Model
) -> None:
    """Each below the one before it, only those in sight in the document; of a map the cells of all."""
    file = tmp_path / "thousand.py"
    calls = (f'text = await llm(f"{n} {{text[:9]}}", temperature=0)' for n in range(1000))
    file.write_text(THOUSAND % "\n    ".join(calls))
    site = Site("memory", model, agents=[load_agent(f"{file}:{name}") for name in ("row", "wide")])
    long, many = site.begin("row", text="x"), site.begin("wide", width=1000)
    for each in (long, many):
        site.ended(each)

    page = open_page(f"{site.url}/ui/#/runs/{long}")
    node(page, "llm#1", "done").wait_for()
    drawn = page.locator(".graph [data-path]")
    assert 5 < drawn.count() < 60
    boxes = [each.bounding_box() for each in drawn.all()]
    tops = [each["y"] for each in boxes if each is not None]
    assert tops == sorted(set(tops))
    page.goto(f"{site.url}/ui/#/runs/{long}?node=llm%23999")
    page.locator(".graph-canvas").focus()
    page.keyboard.press("ArrowDown")
    page.get_by_role("heading", name="llm#1000", exact=True).wait_for()
    node(page, "llm#1000", "done").wait_for()

    page.goto(f"{site.url}/ui/#/runs/{many}")
    node(page, "map#1", "done").wait_for()
    page.locator(".stepper", has_text="1000 of 1000").wait_for()
    assert page.locator(".cell.s-done").count() > 20
    node(page, "map#1[999]/llm#1", "done").wait_for()
    page.context.close()
    site.stop()


def test_all_is_within_reach_of_the_keyboard(page: Page, site: Site) -> None:
    """Lists and graph by arrow keys, `/` to filter, Escape back; iterations by brackets."""
    run = site.begin("research", question="why")
    site.ended(run)
    page.get_by_role("listbox", name="Runs").locator("[role=option]").first.wait_for()
    page.keyboard.press("/")
    page.keyboard.type("resea")
    page.keyboard.press("Escape")
    assert page.get_by_label("Filter runs").input_value() == ""
    page.keyboard.press("Escape")
    page.get_by_role("listbox", name="Runs").focus()
    page.keyboard.press("ArrowDown")
    page.keyboard.press("Enter")
    page.wait_for_url(re.compile(run))

    node(page, "llm#1", "done").wait_for()
    graph = page.locator(".graph-canvas")
    graph.focus()
    page.keyboard.press("ArrowDown")
    page.get_by_role("heading", name="llm#1").wait_for()
    for _ in range(3):
        page.keyboard.press("ArrowDown")
    page.get_by_role("heading", name="search#1").wait_for()
    page.locator(".crumb", has_text="map#1[1]/").wait_for()
    page.keyboard.press("Escape")
    page.get_by_role("heading", name="Legend").wait_for()


def test_every_control_has_a_name_in_both_themes(page: Page, site: Site) -> None:
    """Buttons, links and fields can be called by name; the theme follows the toggle."""
    run = site.begin("research", question="why")
    site.ended(run)
    unnamed = """() => [...document.querySelectorAll('button, a, input, select, textarea, [role=option]')]
        .filter(e => !(e.textContent.trim() || e.getAttribute('aria-label') || e.labels?.length || e.title))
        .map(e => e.outerHTML.slice(0, 120))"""
    for place in ("", f"runs/{run}", f"runs/{run}?node=llm%231", "goodput"):
        page.goto(f"{site.url}/ui/#/{place}")
        page.locator("main h1, main h2").first.wait_for()
        assert page.evaluate(unnamed) == []
        assert page.locator("main").count() == page.locator("h1").count() == 1
    ground = "getComputedStyle(document.body.parentElement).backgroundColor"
    light = page.evaluate(ground)
    toggle = page.get_by_role("button", name=re.compile("Theme"))
    toggle.click()
    assert page.evaluate(ground) == light
    toggle.click()
    assert page.evaluate(ground) != light


def test_goodput_shows_what_was_in_time(page: Page, site: Site) -> None:
    """Runs with a deadline are counted as met; the list can be filtered by how runs stand."""
    for each in (site.begin("research", question="why"), site.begin("breaks", word="no")):
        site.ended(each)
    page.get_by_role("link", name="Goodput").click()
    page.locator(".card-box", has_text="1 of 1 run").first.wait_for()
    page.get_by_role("rowheader", name="research").wait_for()
    page.get_by_role("link", name="Runs", exact=True).click()
    runs = page.get_by_role("listbox", name="Runs").locator("[role=option]")
    runs.nth(1).wait_for()
    page.locator(".toolbar").get_by_text("failed").click()
    page.locator("[role=option][aria-setsize='1']", has_text="breaks").wait_for()


def test_goodput_over_time_is_shown_by_class_and_as_a_table(page: Page, site: Site) -> None:
    """Of fifty runs, some in time, some late, some without a deadline; the table has the same numbers."""
    page.get_by_role("link", name="Goodput").click()
    page.get_by_role("heading", name="No runs in this time").wait_for()
    late = {"deadline": 1e-6, "on_deadline": "best_effort"}
    runs = [site.begin("digest", {"deadline": "10m"} if n < 30 else late, topic=str(n)) for n in range(45)]
    runs += [site.begin("digest", topic=f"no {n}") for n in range(5)]
    for each in runs:
        site.ended(each)
    page.locator(".card-box", has_text="30 of 45 runs").first.wait_for()
    figure = page.locator("figure.attainment", has_text="Runs with a deadline")
    figure.get_by_text("67 % 30 of 45 in time").wait_for()
    drawn = figure.get_by_role("img", name=re.compile("30 met, 15 missed"))
    assert drawn.locator("rect").count() > 0
    page.get_by_text("As a table").click()
    table = page.get_by_role("region", name="Over time, as a table")
    rows = table.locator("tbody tr", has_text="Runs with a deadline")
    counts = [
        [int(rows.nth(n).locator("td").nth(at).inner_text()) for at in (1, 2)] for n in range(rows.count())
    ]
    assert [sum(each) for each in zip(*counts, strict=True)] == [30, 15]
    by_class = page.get_by_role("region", name="Runs by class").locator("tbody tr")
    assert [each.split("\t")[0] for each in by_class.all_inner_texts()] == [
        "Runs with a deadline",
        "Best effort",
    ]


def test_what_an_engine_decides_is_drawn_while_the_page_is_open(page: Page, site: Site) -> None:
    """Its metrics come with each look at goodput; what is drawn is the difference between looks."""
    looks = 0

    def answer(route: Route) -> None:
        nonlocal looks
        looks = min(looks + 1, 2)  # or what is to be seen would depend on when one looks
        found = route.fetch().json()
        sums = {
            "met": 3 * looks,
            "missed": looks,
            "others": 0,
            "output_tokens": 40 * looks,
            "good_tokens": 30 * looks,
        }
        found["engine"] = {
            "classes": {"latency": sums},
            "running": 2,
            "waiting": 5,
            "kv_cache": 0.5,
            "preemptions": 1,
            "degraded": 0,
            "rejected": 0,
            "holding": True,
            "steps": 10,
            "step_seconds": 0.2,
        }
        route.fulfill(json=found)

    page.route("**/v1/goodput", answer)
    page.get_by_role("link", name="Goodput").click()
    page.get_by_text("5 requests, held back").wait_for()
    page.get_by_text("20 ms on average").wait_for()
    since = page.locator("section", has=page.get_by_role("heading", name="Since this page was opened"))
    since.get_by_role("img", name=re.compile("Calls with a pace over time: 3 met, 1 missed")).wait_for()
    since.get_by_text("75 % 3 of 4 in time").wait_for()
    page.unroute_all(behavior="ignoreErrors")


def test_a_server_with_a_token_is_opened_by_it(open_page: Callable[..., Page], model: Model) -> None:
    """The address that the server prints signs in, and the token leaves it; otherwise it is asked for."""
    token = "a-token-for-this-test"
    site = Site("memory", model, token)
    page = open_page(f"{site.url}/ui/#token={token}")
    page.get_by_role("heading", name="No runs yet").wait_for()
    assert token not in page.url

    stranger = open_page(f"{site.url}/ui/", allowed=("401",))
    stranger.get_by_role("textbox", name="Token").fill("not the right one")
    stranger.get_by_role("button", name="Go on").click()
    stranger.get_by_role("dialog").get_by_role("alert").wait_for()
    stranger.get_by_role("textbox", name="Token").fill(token)
    stranger.get_by_role("button", name="Go on").click()
    stranger.get_by_role("heading", name="No runs yet").wait_for()
    for each in (page, stranger):
        each.context.close()
    site.stop()


@pytest.mark.parametrize("place", ["runs/nobody", "diff/nobody/noone", "elsewhere"])
def test_what_is_not_there_is_said(site: Site, open_page: Callable[..., Page], place: str) -> None:
    """A place that leads nowhere says so, and shows a way on."""
    page = open_page(f"{site.url}/ui/#/{place}", allowed=("404",))
    page.locator("main").get_by_text(
        re.compile("no such run|no run|nothing here", re.IGNORECASE)
    ).first.wait_for()
