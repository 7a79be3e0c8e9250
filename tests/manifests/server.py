"""A web server on this machine that keeps to HTTP, or breaks it in a chosen way."""

from __future__ import annotations

import re
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from copy import deepcopy
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from threading import Thread


@dataclass
class Page:
    """What one address answers.

    :param cuts: after how many bytes the body ends, one entry per request; afterwards it is whole.
    :param statuses: an error to answer with, one entry per request (None: no error); afterwards none.
    """

    content: bytes = b""
    ranges: bool = True
    etag: str = ""
    cuts: list[int] = field(default_factory=list)
    statuses: list[int | None] = field(default_factory=list)
    redirect: str = ""
    type: str = "application/zip"
    length: bool = True
    chunked: bool = False
    headers: dict[str, str] = field(default_factory=dict)


@dataclass
class Server:
    """Where it is, what it answers, and what it was asked: path and Range of every request."""

    root: str
    pages: dict[str, Page] = field(default_factory=dict)
    asked: list[tuple[str, str | None]] = field(default_factory=list)

    def add(self, path: str, content: bytes = b"", **settings: object) -> str:
        """Answer at ``path``; its address."""
        self.pages[path] = Page(content, **deepcopy(settings))  # type: ignore[arg-type]
        return self.root + path


class _Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    known: Server

    def log_message(self, *_: object) -> None:
        """Keep quiet."""

    def do_GET(self) -> None:
        self.close_connection = True
        self.known.asked.append((self.path, self.headers.get("Range")))
        page = self.known.pages.get(self.path)
        status = page.statuses.pop(0) if page and page.statuses else None
        if page is None or status:
            return self.send_error(status or 404)
        if page.redirect:
            return self._head(302, {"Location": page.redirect, "Content-Length": "0"})
        begin = self._begin(page)
        if begin and begin >= len(page.content):
            return self._head(416, {"Content-Range": f"bytes */{len(page.content)}", "Content-Length": "0"})
        body = page.content[begin:]
        headers = {"Content-Type": page.type, **({"ETag": page.etag} if page.etag else {})}
        if begin:
            headers["Content-Range"] = f"bytes {begin}-{len(page.content) - 1}/{len(page.content)}"
        if page.chunked:
            headers["Transfer-Encoding"] = "chunked"
        elif page.length:
            headers["Content-Length"] = str(len(body))
        self._head(206 if begin else 200, {**headers, **page.headers})
        cut = page.cuts.pop(0) if page.cuts else len(body)
        if not page.chunked:
            self.wfile.write(body[:cut])
            return None
        self.wfile.write(b"%x\r\n%s\r\n" % (cut, body[:cut]))
        if cut == len(body):
            self.wfile.write(b"0\r\n\r\n")
        return None

    def _begin(self, page: Page) -> int:
        """The first byte that is asked for, if this page serves ranges and If-Range allows it."""
        match = re.fullmatch(r"bytes=(\d+)-", self.headers.get("Range", ""))
        same = self.headers.get("If-Range") in (None, page.etag)
        return int(match[1]) if match and page.ranges and same else 0

    def _head(self, status: int, headers: dict[str, str]) -> None:
        self.send_response(status)
        for header in headers.items():
            self.send_header(*header)
        self.end_headers()


class _Web(ThreadingHTTPServer):
    def handle_error(self, *where: object) -> None:
        """Say nothing of clients that hang up, as those of these tests do."""
        if not isinstance(sys.exc_info()[1], ConnectionError):
            super().handle_error(*where)  # type: ignore[arg-type]


@contextmanager
def serving() -> Iterator[Server]:
    """A server on a free port of the loopback address, until the block ends."""
    handler = type("Handler", (_Handler,), {})
    with _Web(("127.0.0.1", 0), handler) as http:
        handler.known = Server(f"http://127.0.0.1:{http.server_address[1]}")
        thread = Thread(target=http.serve_forever, args=(0.01,))
        thread.start()
        try:
            yield handler.known
        finally:
            http.shutdown()
            thread.join()
