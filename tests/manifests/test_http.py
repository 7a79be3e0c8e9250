"""What is asked of a web server, and what is made of its answers."""

from __future__ import annotations

from email.message import Message
from io import BytesIO
from urllib.request import Request

import pytest

from caffe_port.manifests.http import CutError, _WebOnly, request, span, version_of


@pytest.mark.parametrize(
    ("old", "new", "followed"),
    [
        ("http", "https", True),
        ("http", "http", True),
        ("https", "https", True),
        ("https", "http", False),
        ("http", "ftp", False),
        ("https", "file", False),
    ],
)
def test_redirects_stay_on_the_web_and_do_not_leave_encryption(old, new, followed):
    """(A server with a certificate is more than this needs: the handler is asked directly.)"""
    asked = Request(f"{old}://example.org/a", headers={"Range": "bytes=5-"})
    made = _WebOnly().redirect_request(asked, BytesIO(), 302, "Found", Message(), f"{new}://example.org/b")
    assert (made is not None) == followed
    if made is not None:
        assert (made.full_url, made.get_header("Range")) == (f"{new}://example.org/b", "bytes=5-")


def test_spans(server):
    url = server.add("/a", b"0123456789", etag='"1"')
    with request(url, 0, "", 10) as response:
        assert (span(response), version_of(response)) == ((0, 10), '"1"')
    with request(url, 4, '"1"', 10) as response:
        assert (span(response), response.read()) == ((4, 10), b"456789")
    with request(url, 4, '"2"', 10) as response:
        assert (span(response), response.read()) == ((0, 10), b"0123456789")
    assert request(url, 10, "", 10) is None
    server.pages["/a"].headers["Content-Range"] = "bytes */*"
    with request(url, 4, "", 10) as response, pytest.raises(CutError, match="without its place"):
        span(response)


def test_a_weak_etag_tells_no_version(server):
    url = server.add("/a", b"0", etag='W/"1"', headers={"Last-Modified": "Thu, 26 Nov 2026 11:24:09 GMT"})
    with request(url, 0, "", 10) as response:
        assert version_of(response) == "Thu, 26 Nov 2026 11:24:09 GMT"
