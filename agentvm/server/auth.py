"""Who may ask: the token, and which web pages.

A token is compared in constant time, and is never part of a URL, a log or an
answer. The page signs in once and is given a cookie that no script can read and
no other site's request carries.

Without a token the socket itself is the guard, so only loopback is served so,
and what a browser can be made to do by another site is refused: a name that is
not this machine's (DNS rebinding), an `Origin` that is not the server's, and what
the browser itself says comes from another site (`Sec-Fetch-Site`), as an image
or a frame that sends no `Origin` does.
"""

from __future__ import annotations

import hashlib
import hmac
import secrets
from http.cookies import CookieError, SimpleCookie
from urllib.parse import urlsplit

from .asgi import Application, Message, Receive, Scope, Send, has_header, header
from .problems import Refused, answer
from .settings import Settings, is_loopback

COOKIE = "agentvm_session"
OPEN_PATHS = ("/", "/ui", "/favicon.ico", "/healthz", "/readyz", "/v1/session")
"""Served to anybody: they tell nothing of any run."""
OPEN_PREFIXES = ("/ui/",)
"""The files of the page."""
HEADERS = (
    (b"x-content-type-options", b"nosniff"),
    (b"x-frame-options", b"DENY"),
    (b"referrer-policy", b"no-referrer"),
    (b"cross-origin-resource-policy", b"same-origin"),
    (b"cache-control", b"no-store"),
    (b"content-security-policy", b"default-src 'none'; frame-ancestors 'none'"),
)
"""Of every answer that does not say otherwise itself, as the page and its files do."""
_WRITES = ("POST", "PUT", "PATCH", "DELETE")


def new_token() -> str:
    """A token nobody guesses."""
    return secrets.token_urlsafe(32)


def cookie_value(token: str) -> str:
    """What a signed-in page has in place of the token."""
    return hmac.new(token.encode(), b"agentvm session", hashlib.sha256).hexdigest()


def same(a: str, b: str) -> bool:
    """Whether two secrets are equal, in a time that does not tell where they differ."""
    return hmac.compare_digest(a.encode("utf-8", "replace"), b.encode("utf-8", "replace"))


def signed_in(scope: Scope, settings: Settings) -> bool:
    """Whether a request has the token, or a cookie that was given for it."""
    token = settings.token
    if token is None:
        return True
    kind, _, given = (header(scope, b"authorization") or "").partition(" ")
    if kind.lower() == "bearer" and same(given.strip(), token):
        return True
    cookie: SimpleCookie = SimpleCookie()
    try:
        cookie.load(header(scope, b"cookie") or "")
    except CookieError:
        return False
    return COOKIE in cookie and same(cookie[COOKIE].value, cookie_value(token))


class Guard:
    """ASGI middleware that lets in whom the settings let in."""

    def __init__(self, app: Application, settings: Settings) -> None:
        self._app = app
        self._settings = settings

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] == "lifespan":
            await self._app(scope, receive, send)
            return
        if scope["type"] != "http":
            await send({"type": "websocket.close", "code": 1008})
            return
        try:
            self.check(scope)
        except Refused as error:
            refusal = answer(scope["path"], error.status, error.kind, error.detail, headers=error.headers)
            await refusal(scope, receive, send)
            return

        async def guarded(message: Message) -> None:
            if message["type"] == "http.response.start":
                given = {name for name, _ in message.get("headers", ())}
                more = [each for each in HEADERS if each[0] not in given]
                message = {**message, "headers": [*message.get("headers", ()), *more]}
            await send(message)

        await self._app(scope, receive, guarded)

    def check(self, scope: Scope) -> None:
        """Raises Refused."""
        host = _host_of(scope)
        self._check_host(host)
        self._check_origin(scope, host)
        path, write = scope["path"], scope["method"] in _WRITES
        is_open = path in OPEN_PATHS or (path.startswith(OPEN_PREFIXES) and not write)
        if not is_open:  # a link to the page may stand anywhere
            self._check_site(scope)
        if not is_open and not signed_in(scope, self._settings):
            raise Refused(
                401,
                "token-missing",
                "This server wants its token: send `Authorization: Bearer TOKEN`. It was said when the "
                "server was started, or is in the file or variable the server took it from.",
                {"WWW-Authenticate": "Bearer"},
            )
        kind = (header(scope, b"content-type") or "").partition(";")[0].strip().lower()
        # A page of another site can send a form without asking; it cannot send JSON.
        if write and scope["method"] != "DELETE" and kind != "application/json":
            raise Refused(415, "not-json", "Send JSON, with `Content-Type: application/json`.")

    def _check_site(self, scope: Scope) -> None:
        if header(scope, b"sec-fetch-site") in ("cross-site", "same-site"):
            raise _other_site()

    def _check_host(self, host: str) -> None:
        name = urlsplit(f"//{host}").hostname or ""
        if name in self._settings.allowed_hosts or is_loopback(name):
            return
        # Beyond loopback the token guards; names are checked where whoever serves has given them.
        if not self._settings.loopback and not self._settings.allowed_hosts:
            return
        raise Refused(
            421,
            "wrong-host",
            f"This server is not called {name[:100]!r}. If it is to be: --allowed-host {name[:100]}",
        )

    def _check_origin(self, scope: Scope, host: str) -> None:
        if not has_header(scope, b"origin"):
            return
        origin = urlsplit(header(scope, b"origin") or "null")
        if origin.scheme in ("http", "https") and origin.netloc.lower() == host.lower():
            return
        raise _other_site()


def _other_site() -> Refused:
    return Refused(403, "wrong-origin", "Pages of other sites may not use this server.")


def _host_of(scope: Scope) -> str:
    host = header(scope, b"host")
    if host is None:
        raise Refused(400, "no-host", "Send one Host header.")
    try:
        if urlsplit(f"//{host}").netloc == host and urlsplit(f"//{host}").hostname and "@" not in host:
            urlsplit(f"//{host}").port  # noqa: B018 - raises for what is no port
            return host
    except ValueError:
        pass
    raise Refused(400, "no-host", "The Host header is malformed.")
