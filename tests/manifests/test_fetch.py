"""Fetching from a real server on this machine, that also cuts, lies and forgets."""

from __future__ import annotations

import hashlib
import os
import re
import signal
import socket
import subprocess
import sys
import time

import pytest

from caffe_port.errors import DataError
from caffe_port.manifests import File
from caffe_port.manifests import fetch as really_fetch
from tests.cli.process import ENVIRONMENT
from tests.shared import ROOT

CONTENT = bytes(range(256)) * 4000  # a megabyte
OTHER = CONTENT[:-1] + b"?"
SHA256 = hashlib.sha256(CONTENT).hexdigest()
SHA1 = hashlib.sha1(CONTENT).hexdigest()
HALF = len(CONTENT) // 2


def archive(url, *mirrors, **stated):
    return File(name="data.zip", url=url, mirrors=mirrors, **stated)


def fetch(file, folder, **arguments):
    return really_fetch(file, folder, pause=0, **arguments)


def holds(folder, content=CONTENT):
    """Whether ``folder`` has the file with this content and nothing else."""
    return os.listdir(folder) == ["data.zip"] and (folder / "data.zip").read_bytes() == content


def begun(folder, content, origin=None):
    """What an earlier fetch left."""
    (folder / "data.zip.part").write_bytes(content)
    if origin:
        (folder / "data.zip.part.json").write_text(origin)


@pytest.mark.parametrize(
    ("stated", "checked"),
    [
        ({}, ""),
        ({"size": len(CONTENT)}, "size"),
        ({"sha1": SHA1}, "SHA-1"),
        ({"sha256": SHA256, "sha1": SHA1, "size": len(CONTENT)}, "SHA-256"),
    ],
)
def test_a_file(server, tmp_path, stated, checked):
    seen = []
    url = server.add("/data.zip?download=1", CONTENT)
    result = fetch(archive(url, **stated), tmp_path / "new" / "folder", progress=lambda *at: seen.append(at))
    assert (result.path, result.url, result.checked) == (tmp_path / "new" / "folder" / "data.zip", url, checked)
    assert holds(result.path.parent)
    assert seen[-1] == (len(CONTENT), len(CONTENT))
    assert seen == sorted(seen)
    assert server.asked == [("/data.zip?download=1", None)]


@pytest.mark.parametrize("chunked", [True, False])
@pytest.mark.parametrize("stated", [{"sha256": SHA256}, {}])
def test_a_connection_that_is_cut_goes_on_where_it_ended(server, tmp_path, stated, chunked):
    url = server.add("/data.zip", CONTENT, cuts=[1000, 1000, 300_000], etag='"1"', chunked=chunked)
    fetch(archive(url, **stated), tmp_path)
    assert holds(tmp_path)
    assert [asked for _, asked in server.asked] == [None, "bytes=1000-", "bytes=2000-", "bytes=302000-"]


def test_what_can_grow_is_tried_more_often_than_what_does_not(server, tmp_path):
    grows = server.add("/grows", CONTENT, cuts=[10] * 20, etag='"1"')
    fetch(archive(grows), tmp_path)
    assert holds(tmp_path)
    os.remove(tmp_path / "data.zip")
    stuck = server.add("/stuck", CONTENT, cuts=[0] * 20, etag='"1"')
    server.asked.clear()
    with pytest.raises(DataError, match=r"the connection ended after 0 of 1,024,000 bytes.*what has arrived is kept"):
        fetch(archive(stuck), tmp_path)
    assert len(server.asked) == 3


@pytest.mark.parametrize(("stated", "etag", "asked"), [({"sha1": SHA1}, "", HALF), ({}, '"1"', HALF), ({}, "", None)])
def test_a_next_call_goes_on_where_something_tells_that_it_is_one_file(server, tmp_path, stated, etag, asked):
    url = server.add("/data.zip", CONTENT, etag=etag, cuts=[HALF, *[0] * 3] if etag or stated else [HALF] * 4)
    file = archive(url, **stated)
    with pytest.raises(DataError):
        fetch(file, tmp_path)
    assert (tmp_path / "data.zip.part").read_bytes() == CONTENT[:HALF]
    server.asked.clear()
    server.pages["/data.zip"].cuts.clear()
    fetch(file, tmp_path)
    assert holds(tmp_path)
    assert server.asked == [("/data.zip", asked and f"bytes={asked}-")]


def test_a_file_that_changed_on_the_server_is_fetched_anew(server, tmp_path):
    url = server.add("/data.zip", OTHER, etag='"2"')
    begun(tmp_path, CONTENT[:HALF], f'["{url}", "\\"1\\""]')
    fetch(archive(url), tmp_path)
    assert holds(tmp_path, OTHER)


def test_a_server_that_ignores_range_sends_all_of_it(server, tmp_path):
    url = server.add("/data.zip", CONTENT, ranges=False)
    begun(tmp_path, b"x" * HALF)
    fetch(archive(url, sha1=SHA1), tmp_path)
    assert holds(tmp_path)


@pytest.mark.parametrize("left", [b"x" * HALF, b"x" * len(CONTENT), CONTENT + b"more"])
def test_what_was_left_of_something_else_is_fetched_anew(server, tmp_path, left):
    begun(tmp_path, left)
    fetch(archive(server.add("/data.zip", CONTENT), sha256=SHA256), tmp_path)
    assert holds(tmp_path)


def test_what_was_left_whole_is_not_fetched_again(server, tmp_path):
    begun(tmp_path, CONTENT)
    fetch(archive(server.add("/data.zip", CONTENT), sha256=SHA256), tmp_path)
    assert holds(tmp_path)
    assert server.asked == [("/data.zip", f"bytes={len(CONTENT)}-")]


@pytest.mark.parametrize(
    ("bad", "why"),
    [
        ({"statuses": [404] * 9}, "HTTP 404 Not Found"),
        ({"statuses": [503] * 9}, "HTTP 503 Service Unavailable"),
        ({"content": OTHER}, f"has SHA-1 {hashlib.sha1(OTHER).hexdigest()}, the published file {SHA1}"),
        ({"content": CONTENT[:-1]}, "a file of 1,023,999 bytes instead of 1,024,000"),
        ({"content": CONTENT[:-1], "length": False}, "has 1,023,999 bytes, the published file 1,024,000"),
        ({"type": "text/html; charset=utf-8"}, "a web page instead of the file"),
        ({"redirect": "ftp://127.0.0.1/data.zip"}, "HTTP 302 Found"),
        ({"headers": {"Content-Length": str(len(CONTENT) + 1)}, "cuts": [len(CONTENT)] * 9}, "1,024,001 bytes instead"),
    ],
)
def test_mirrors_are_tried_in_order(server, tmp_path, bad, why):
    url = server.add("/bad", **{"content": CONTENT, **bad})
    good = server.add("/good", CONTENT)
    never = server.add("/never", CONTENT)
    file = archive(url, good, never, sha1=SHA1, size=len(CONTENT))
    assert fetch(file, tmp_path).url == good
    assert holds(tmp_path)
    assert "/never" not in dict(server.asked)
    os.remove(tmp_path / "data.zip")
    with pytest.raises(DataError, match=rf"data\.zip: could not be fetched \({re.escape(url)}: .*{why}"):
        fetch(archive(url, sha1=SHA1, size=len(CONTENT)), tmp_path)
    assert not (tmp_path / "data.zip").exists()


def test_a_server_that_is_busy_is_asked_again(server, tmp_path):
    fetch(archive(server.add("/data.zip", CONTENT, statuses=[503, 429])), tmp_path)
    assert holds(tmp_path)


def test_a_part_from_another_place_is_not_taken(server, tmp_path):
    headers = {"Content-Range": f"bytes 7-{len(CONTENT) - 1}/{len(CONTENT)}"}
    url = server.add("/data.zip", CONTENT, headers=headers, cuts=[HALF], etag='"1"')
    with pytest.raises(DataError, match=f"the server began at byte 7 instead of {HALF}"):
        fetch(archive(url), tmp_path)
    assert (tmp_path / "data.zip.part").read_bytes() == CONTENT[:HALF]


def test_without_a_length_or_a_sum_nothing_tells_that_it_is_whole(server, tmp_path):
    url = server.add("/data.zip", CONTENT, length=False)
    with pytest.raises(DataError, match="does not tell the file's size"):
        fetch(archive(url), tmp_path)
    assert fetch(archive(url, sha1=SHA1), tmp_path).checked == "SHA-1"


def test_a_redirect_is_followed_and_resumed(server, tmp_path):
    real = server.add("/real", CONTENT, cuts=[HALF], etag='"1"')
    url = server.add("/data.zip", redirect=real)
    fetch(archive(url), tmp_path)
    assert holds(tmp_path)
    assert [each for each in server.asked if each[0] == "/real"] == [("/real", None), ("/real", f"bytes={HALF}-")]


def test_nobody_there(tmp_path):
    with pytest.raises(DataError, match=r"http://127\.0\.0\.1:9/data\.zip: .*refused"):
        fetch(archive("http://127.0.0.1:9/data.zip"), tmp_path)
    assert os.listdir(tmp_path) == []


def test_a_server_that_says_nothing(tmp_path):
    with socket.socket() as silent:
        silent.bind(("127.0.0.1", 0))
        silent.listen()
        with pytest.raises(DataError, match="no answer in time"):
            fetch(archive(f"http://127.0.0.1:{silent.getsockname()[1]}/"), tmp_path, timeout=0.1)


def test_a_file_that_is_here_is_not_fetched(server, tmp_path):
    (tmp_path / "data.zip").write_bytes(CONTENT)
    url = server.add("/data.zip", CONTENT)
    for stated, checked in (({"sha1": SHA1}, "SHA-1"), ({}, "")):
        result = fetch(archive(url, **stated), tmp_path)
        assert (result.url, result.checked) == ("", checked)
    assert not server.asked


@pytest.mark.parametrize("stated", [{"sha1": SHA1}, {"sha256": SHA256}, {"size": len(CONTENT) + 1}])
def test_another_file_is_not_overwritten(server, tmp_path, stated):
    (tmp_path / "data.zip").write_bytes(OTHER)
    with pytest.raises(DataError, match=r"data\.zip: has .*not overwritten: move it away"):
        fetch(archive(server.add("/data.zip", CONTENT), **stated), tmp_path)
    assert holds(tmp_path, OTHER)
    assert not server.asked


def test_no_space(server, tmp_path):
    """The server announces more than any disk has; nothing of it is read, and what was here stays."""
    url = server.add("/data.zip", CONTENT, headers={"Content-Length": str(10**18)})
    with pytest.raises(DataError, match=r"1000000000\.0 GB are to come and .* are free\. Make space"):
        fetch(archive(url), tmp_path)


def test_a_process_that_is_killed_leaves_a_part_to_go_on_from(server, tmp_path):
    """In a process of its own, killed once some of the file is here."""
    url = server.add("/data.zip", CONTENT, etag='"1"', cuts=[HALF], statuses=[None, *[503] * 50])
    code = "import sys, pathlib; from caffe_port.manifests import File, fetch\n"
    code += "fetch(File(name='data.zip', url=sys.argv[1]), pathlib.Path(sys.argv[2]), pause=60)"
    process = subprocess.Popen([sys.executable, "-c", code, url, str(tmp_path)], cwd=ROOT, env=ENVIRONMENT)
    try:
        deadline = time.monotonic() + 60
        while len(server.asked) < 2 and time.monotonic() < deadline:
            time.sleep(0.01)
        process.send_signal(signal.SIGKILL)
    finally:
        process.kill()
        process.wait()
    assert (tmp_path / "data.zip.part").read_bytes() == CONTENT[:HALF]
    server.pages["/data.zip"].statuses.clear()
    server.asked.clear()
    fetch(archive(url), tmp_path)
    assert holds(tmp_path)
    assert server.asked == [("/data.zip", f"bytes={HALF}-")]
