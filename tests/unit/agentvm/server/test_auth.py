"""Who is let in: tokens, names, pages of other sites, and what is not JSON."""

from __future__ import annotations

from typing import Any

import httpx
import pytest

from agentvm.server.auth import COOKIE, new_token
from agentvm.server.settings import Settings, is_loopback

TOKEN = "a token of good length"
WRITES = [
    "/v1/runs",
    "/v1/runs/x/answer",
    "/v1/runs/x/cancel",
    "/v1/runs/x/resolve",
    "/v1/runs/x/resume",
    "/v1/runs/x/fork",
    "/v1/chat/completions",
    "/v1/completions",
    "/v1/agentvm/cancel",
]
READS = [
    "/v1/agents",
    "/v1/runs",
    "/v1/runs/x",
    "/v1/runs/x/events",
    "/v1/diff?a=x&b=y",
    "/v1/models",
    "/metrics",
    "/openapi.json",
]


class TestBeyondLoopback:
    """A server that other machines reach, under whatever name."""

    @pytest.fixture
    def settings(self) -> Settings:
        return Settings(host="0.0.0.0", token=TOKEN, poll=0.01)

    @pytest.mark.parametrize("url", WRITES)
    async def test_nothing_is_written_without_the_token(self, api: Any, url: str) -> None:
        """No token, a wrong one, a token in the wrong place: each is refused before the body is looked at."""
        for headers in (
            {},
            {"Authorization": f"Bearer {TOKEN}x"},
            {"Authorization": TOKEN},
            {"X-Token": TOKEN},
        ):
            answer = await api.client.post(url, headers=headers, json={"agent": "research"})
            assert answer.status_code == 401
            assert answer.headers["www-authenticate"] == "Bearer"
        assert (await api.client.post(f"{url}?token={TOKEN}", json={})).status_code == 401
        assert await api.vm.list() == []

    @pytest.mark.parametrize("url", READS)
    async def test_nothing_is_read_without_the_token(self, api: Any, url: str) -> None:
        """Runs hold what people asked."""
        assert (await api.client.get(url)).status_code == 401

    async def test_every_route_of_the_api_but_the_open_ones_wants_the_token(self, api: Any) -> None:
        """A route that is added later is guarded, too."""
        open_paths = {"/healthz", "/readyz", "/v1/session"}
        spec = api.app.openapi()["paths"]
        assert len(spec) > 10
        for path, operations in spec.items():
            for method in operations:
                answer = await api.client.request(method, path.replace("{", "").replace("}", ""))
                assert (answer.status_code == 401) == (path not in open_paths), (method, path)

    async def test_the_token_opens_the_api(self, api: Any) -> None:
        """As OpenAI's clients send it."""
        api.client.headers["Authorization"] = f"Bearer {TOKEN}"
        run = await api.start("breaks", topic="x")
        assert (await api.ended(run))["status"] == "failed"

    async def test_a_page_signs_in_for_a_cookie_that_is_not_the_token(self, api: Any) -> None:
        """The cookie cannot be read by scripts, and other sites' requests do not carry it."""
        refused = await api.client.post("/v1/session", json={"token": "something else"})
        assert refused.status_code == 401
        answer = await api.client.post("/v1/session", json={"token": TOKEN})
        assert answer.json() == {"required": True, "signed_in": True}
        cookie = answer.headers["set-cookie"]
        assert "HttpOnly" in cookie and "SameSite=strict" in cookie and TOKEN not in cookie
        assert (await api.client.get("/v1/runs")).status_code == 200
        api.client.cookies.clear()
        api.client.cookies.set(COOKIE, TOKEN)
        assert (await api.client.get("/v1/runs")).status_code == 401

    async def test_errors_do_not_repeat_the_token(self, api: Any) -> None:
        """Nor what was sent in its place."""
        answer = await api.client.get("/v1/runs", headers={"Authorization": "Bearer sesame"})
        assert "sesame" not in answer.text and TOKEN not in answer.text

    async def test_health_is_open_and_tells_nothing_of_runs(self, api: Any) -> None:
        """For whoever watches the process."""
        assert (await api.client.get("/healthz")).json()["status"] == "ok"
        assert (await api.client.get("/readyz")).status_code == 200


class TestOnLoopback:
    """A server without a token, which only this machine reaches."""

    @pytest.mark.parametrize(
        "host", ["evil.example", "127.0.0.1.evil.example", "10.0.0.1:8000", "localhost@evil"]
    )
    async def test_another_name_is_refused(self, api: Any, host: str) -> None:
        """A page whose name is made to mean 127.0.0.1 sends its own name."""
        answer = await api.client.get("/v1/runs", headers={"Host": host})
        assert answer.status_code in (400, 421)

    @pytest.mark.parametrize("host", ["localhost", "127.0.0.1:8000", "[::1]:8000", "LOCALHOST:1"])
    async def test_this_machines_names_are_served(self, api: Any, host: str) -> None:
        """With any port, as tunnels have it."""
        assert (await api.client.get("/v1/runs", headers={"Host": host})).status_code == 200

    @pytest.mark.parametrize("origin", ["https://evil.example", "null", "http://localhost:1234", "x"])
    async def test_pages_of_other_sites_are_refused(self, api: Any, origin: str) -> None:
        """Whatever they ask for; another port is another site."""
        for method, url in (("GET", "/v1/runs"), ("POST", "/v1/runs"), ("POST", "/v1/completions")):
            answer = await api.client.request(method, url, headers={"Origin": origin}, json={})
            assert answer.status_code == 403
        twice = httpx.Headers([("Origin", "http://localhost"), ("Origin", origin)])
        assert (await api.client.get("/v1/runs", headers=twice)).status_code == 403

    @pytest.mark.parametrize("site", ["cross-site", "same-site"])
    async def test_what_another_site_embeds_is_refused(self, api: Any, site: str) -> None:
        """An image or a frame brings no `Origin`; a link to the page is fine wherever it stands."""
        headers = {"Sec-Fetch-Site": site, "Sec-Fetch-Mode": "no-cors"}
        for url in ("/v1/runs", "/v1/runs/x/events", "/metrics", "/openapi.json"):
            assert (await api.client.get(url, headers=headers)).status_code == 403
        assert (await api.client.get("/ui/", headers=headers)).status_code == 200
        own = {"Sec-Fetch-Site": "same-origin"}
        assert (await api.client.get("/v1/runs", headers=own)).status_code == 200

    async def test_its_own_page_is_served(self, api: Any) -> None:
        """The page has the server's own origin."""
        assert (await api.client.get("/v1/runs", headers={"Origin": "http://localhost"})).status_code == 200

    @pytest.mark.parametrize(
        "kind", ["text/plain", "application/x-www-form-urlencoded", "multipart/form-data", ""]
    )
    async def test_what_a_form_can_send_is_refused(self, api: Any, kind: str) -> None:
        """A browser sends forms anywhere without asking."""
        body = b'{"agent": "breaks", "inputs": {"topic": "x"}}'
        answer = await api.client.post("/v1/runs", content=body, headers={"Content-Type": kind})
        assert answer.status_code == 415
        assert await api.vm.list() == []

    async def test_answers_say_that_they_are_no_pages(self, api: Any) -> None:
        """A browser shows none of them as a page of another type, within a frame, or from a cache."""
        headers = (await api.client.get("/v1/runs")).headers
        assert headers["x-content-type-options"] == "nosniff"
        assert headers["content-security-policy"].startswith("default-src 'none'")
        assert headers["cache-control"] == "no-store"
        assert headers["cross-origin-resource-policy"] == "same-origin"


@pytest.mark.parametrize(
    ("host", "here"),
    [
        ("127.0.0.1", True),
        ("127.8.8.8", True),
        ("::1", True),
        ("localhost", True),
        ("0.0.0.0", False),
        ("::", False),
        ("192.168.1.2", False),
        ("example.org", False),
        ("", False),
    ],
)
def test_which_addresses_are_this_machines(host: str, here: bool) -> None:
    """What binds more than loopback needs a token."""
    assert is_loopback(host) is here


def test_made_up_tokens_differ_and_are_long() -> None:
    """256 bits each."""
    assert new_token() != new_token()
    assert len(new_token()) >= 43
