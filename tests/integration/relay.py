"""A relay between a run and the model server: answers come when the test lets them."""

from __future__ import annotations

import math
import sys
import threading
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from types import TracebackType
from typing import Any, Self

import httpx

LIMIT = 600.0
"""Seconds after which a wait has failed; no machine is that slow."""


class Relay(ThreadingHTTPServer):
    """Passes requests on to a server, and its answers back as they are streamed.

    Every request reaches the server at once. Of the model's answers only as many come back as
    were let through, in the order in which the calls came; the others are withheld until `release`.
    """

    daemon_threads = True
    request_queue_size = 64

    def __init__(self, server: str) -> None:
        super().__init__(("127.0.0.1", 0), _Handler)
        self.url = f"http://127.0.0.1:{self.server_port}"
        self.client = httpx.Client(base_url=server, timeout=LIMIT)
        self._changed = threading.Condition()
        self._let: float = math.inf
        self._calls = self._withheld = self._open = 0

    def __enter__(self) -> Self:
        threading.Thread(target=self.serve_forever, daemon=True).start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.release()
        self.shutdown()
        self.server_close()
        self.client.close()

    def let(self, answers: int) -> None:
        """Let so many answers through, and withhold those to later calls."""
        with self._changed:
            self._let = self._calls + answers

    def release(self) -> None:
        """Withhold nothing any more."""
        with self._changed:
            self._let = math.inf
            self._changed.notify_all()

    def await_withheld(self, answers: int) -> None:
        """Wait until the server has given so many answers that are withheld."""
        self._await(lambda: self._withheld >= answers, f"{answers} answers to withhold")

    def settle(self) -> None:
        """Wait until the server has answered all that its clients, which have ended, had asked."""
        httpx.get(f"{self.url}/health", timeout=LIMIT)  # connections are accepted in the order they came
        self._await(lambda: self._open == 0, "connections to end")

    def turn(self) -> int:
        """The number of a model call."""
        with self._changed:
            self._calls += 1
            return self._calls

    def pass_answer(self, turn: int, answer: httpx.Response) -> None:
        """Return when this call's answer may be passed on."""
        with self._changed:
            if turn <= self._let:
                return
        answer.read()
        with self._changed:
            self._withheld += 1
            self._changed.notify_all()
            self._changed.wait_for(lambda: turn <= self._let)
            self._withheld -= 1

    def process_request(self, request: Any, client_address: Any) -> None:
        with self._changed:
            self._open += 1
        super().process_request(request, client_address)

    def shutdown_request(self, request: Any) -> None:
        super().shutdown_request(request)
        with self._changed:
            self._open -= 1
            self._changed.notify_all()

    def handle_error(self, request: Any, client_address: Any) -> None:
        """Say what went wrong, unless it is that a killed client cannot be answered."""
        if not isinstance(sys.exc_info()[1], ConnectionError):
            super().handle_error(request, client_address)

    def _await(self, come: Any, what: str) -> None:
        with self._changed:
            assert self._changed.wait_for(come, LIMIT), f"waited {LIMIT:.0f} s for {what}"


class _Handler(BaseHTTPRequestHandler):
    """One request a connection: its answer ends where the connection does."""

    server: Relay

    def do_GET(self) -> None:
        with self.server.client.stream("GET", self.path) as answer:
            self._pass(answer)

    def do_POST(self) -> None:
        asked = self.rfile.read(int(self.headers["Content-Length"]))
        turn = self.server.turn() if self.path.endswith("/completions") else None  # else changed hints
        kind = {"Content-Type": self.headers["Content-Type"]}
        with self.server.client.stream("POST", self.path, content=asked, headers=kind) as answer:
            if turn is not None:
                self.server.pass_answer(turn, answer)
            self._pass(answer)

    def _pass(self, answer: httpx.Response) -> None:
        self.send_response(answer.status_code)
        self.send_header("Content-Type", answer.headers.get("Content-Type", "text/plain"))
        self.end_headers()
        for part in answer.iter_bytes():
            self.wfile.write(part)

    def log_message(self, format: str, *args: Any) -> None:
        pass
