"""Requests over http and https with the standard library: redirects kept to the web, faults as two exceptions."""

from __future__ import annotations

import re
from collections.abc import Iterator
from http.client import HTTPException, HTTPResponse
from typing import IO
from urllib.error import HTTPError, URLError
from urllib.parse import urlsplit
from urllib.request import HTTPRedirectHandler, Request, build_opener

from caffe_port.version import __version__

#: Bytes asked of the connection at a time.
_BLOCK = 1 << 18


class UnfitError(Exception):
    """An address gives no file, or another file than the one that is wanted."""


class CutError(Exception):
    """A connection failed, or ended early: another try may go on from there."""


class _WebOnly(HTTPRedirectHandler):
    """Follows a redirect to another web address, but not from https to http."""

    def redirect_request(
        self, req: Request, fp: IO[bytes], code: int, msg: str, headers: object, newurl: str
    ) -> Request | None:
        """The request to ``newurl``; None (which makes the redirect itself an error) for what is not to be followed."""
        allowed = ("https",) if urlsplit(req.full_url).scheme == "https" else ("http", "https")
        if urlsplit(newurl).scheme not in allowed:
            return None
        return super().redirect_request(req, fp, code, msg, headers, newurl)  # type: ignore[arg-type]


def request(url: str, offset: int, version: str, timeout: float) -> HTTPResponse | None:
    """The answer to a request for the file at ``url`` from byte ``offset`` on.

    :param version: if not empty, the server is to send the whole file where it has another version (If-Range).
    :return: None if the server says that the file ends at ``offset``.
    :raises UnfitError: the server has no such file, or sends a web page.
    :raises CutError: no connection, no answer within ``timeout`` seconds, or an answer to another request.
    """
    asked = Request(url, headers={"User-Agent": f"caffe_port/{__version__}"})
    if offset:
        asked.add_header("Range", f"bytes={offset}-")
        if version:
            asked.add_header("If-Range", version)
    try:
        response: HTTPResponse = build_opener(_WebOnly).open(asked, timeout=timeout)
    except HTTPError as error:
        with error:
            if error.code == 416 and offset:  # there is no such byte
                whole = error.headers.get("Content-Range") == f"bytes */{offset}"
                return None if whole else request(url, 0, "", timeout)
            retry = error.code in (408, 429) or error.code >= 500
            raise (CutError if retry else UnfitError)(f"HTTP {error.code} {error.reason}") from error
    except (HTTPException, OSError) as error:
        raise CutError(_reason(error)) from error
    if response.headers.get_content_type() == "text/html":
        response.close()
        raise UnfitError("a web page instead of the file")
    return response


def span(response: HTTPResponse) -> tuple[int, int | None]:
    """The byte of the file at which the body of ``response`` begins, and the size of the file if the server tells it.

    :raises CutError: it is a part of the file that it does not place.
    """
    if response.status == 206:
        match = re.fullmatch(r"bytes (\d+)-\d+/(\d+)", response.headers.get("Content-Range", ""))
        if match is None:
            raise CutError("a part of the file without its place")
        return int(match[1]), int(match[2])
    return 0, response.length


def blocks(response: HTTPResponse) -> Iterator[bytes]:
    """The body of ``response``, as it arrives.

    :raises CutError: the connection failed.
    """
    while True:
        try:
            block = response.read1(_BLOCK)
        except (HTTPException, OSError) as error:
            raise CutError(_reason(error)) from error
        if not block:
            return
        yield block


def version_of(response: HTTPResponse) -> str:
    """What tells this version of the file from another: its strong ETag or its date; empty if the server gives none."""
    tag = response.headers.get("ETag", "")
    return tag if tag and not tag.startswith("W/") else response.headers.get("Last-Modified", "")


def _reason(error: Exception) -> str:
    """What went wrong, in a few words."""
    inner = error.reason if isinstance(error, URLError) else error
    if isinstance(inner, TimeoutError):
        return "no answer in time"
    return getattr(inner, "strerror", None) or str(inner) or type(inner).__name__
