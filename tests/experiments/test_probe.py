from __future__ import annotations

import socketserver
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager

import pytest

from pytest_microcloud.experiments.probe import http_answers

PAGE = b"<title>A page</title>"
HEAD = b"HTTP/1.1 200 OK\r\nContent-Length: 100000\r\n\r\n"


@contextmanager
def server(respond: Callable[[socketserver.StreamRequestHandler], object]) -> Iterator[int]:
    """Serve on a local port until the context ends; the rest of a request is not read."""

    class Handler(socketserver.StreamRequestHandler):
        def handle(self) -> None:
            self.rfile.readline()
            respond(self)

    with socketserver.ThreadingTCPServer(("127.0.0.1", 0), Handler) as serving:
        threading.Thread(target=serving.serve_forever, daemon=True).start()
        yield serving.server_address[1]
        serving.shutdown()


def test_a_page_answers_as_soon_as_its_expected_text_arrives() -> None:
    closed = threading.Event()

    def begin_only(handler: socketserver.StreamRequestHandler) -> None:
        handler.wfile.write(HEAD + PAGE)
        handler.wfile.flush()
        while handler.rfile.readline():  # until the client closes its connection
            pass
        closed.set()

    with server(begin_only) as port:
        assert http_answers("127.0.0.1", port, "/", "A page", timeout_s=20)
        assert closed.wait(20), "the client waits for the rest of the page"


@pytest.mark.parametrize(
    "response",
    [
        b"HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\nhello",
        b"HTTP/1.1 404 Not Found\r\nContent-Length: 21\r\n\r\n" + PAGE,
    ],
    ids=["another text", "an error page"],
)
def test_a_response_that_is_not_the_expected_one_is_no_answer(response: bytes) -> None:
    with server(lambda handler: handler.wfile.write(response)) as port:
        assert not http_answers("127.0.0.1", port, "/", "A page", timeout_s=20)
