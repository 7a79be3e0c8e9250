"""``caffe-port data``."""

from __future__ import annotations

import hashlib
import json
import re

import pytest

from caffe_port import resources
from caffe_port.manifests import load_all
from tests.cli.process import Here, caffe_port, error_line
from tests.manifests.make import LEAST, manifest_file
from tests.manifests.server import serving

CONTENT = b"packed" * 1000
SHA1 = hashlib.sha1(CONTENT).hexdigest()


@pytest.fixture
def here(monkeypatch, capsys):
    monkeypatch.setenv("COLUMNS", "100")
    return Here(monkeypatch, capsys)


@pytest.fixture
def publish(tmp_path, monkeypatch):
    """A function that makes a manifest called tiny the only one; its files are TOML text."""
    from caffe_port.manifests import read

    def declare(files, access="open"):
        (tmp_path / "manifests").mkdir()
        path = manifest_file(tmp_path / "manifests", files, LEAST.replace('"by hand"', f'"{access}"'))
        monkeypatch.setattr(read, "manifests", lambda: [path])

    return declare


@pytest.fixture
def server(monkeypatch):
    monkeypatch.setenv("no_proxy", "127.0.0.1")
    with serving() as running:
        yield running


def entry(name, **keys):
    return f'[[files]]\nname = "{name}"\n' + "".join(f"{key} = {json.dumps(value)}\n" for key, value in keys.items())


def test_list(tmp_path):
    result = caffe_port("data", "list", cwd=tmp_path)
    assert result.returncode == 0, result.stderr
    heading, *rows = result.stdout.split("\n\n")[0].splitlines()
    assert heading.split() == ["name", "for", "access", "licence", "size"]
    assert [row.split()[0] for row in rows] == [path.stem for path in resources.manifests()]
    (hyper,) = [row for row in rows if row.startswith("hyper-kvasir ")]
    assert re.fullmatch(r"hyper-kvasir +frames +open +CC BY 4\.0 +3\.9 GB", hyper)
    (real,) = [row for row in rows if row.startswith("real-colon")]
    assert re.fullmatch(r"real-colon +polyps +by hand +CC BY-NC-SA 4\.0 \? +880 GB", real)


@pytest.mark.parametrize("manifest", load_all(), ids=lambda manifest: manifest.name)
def test_show_tells_everything_with_its_mark(here, tmp_path, manifest):
    result = here("data", "show", manifest.name, cwd=tmp_path)
    assert result.returncode == 0, result.stderr
    shown = " ".join(result.stdout.split())
    facts = [manifest.title, manifest.terms, manifest.steps, manifest.contents, manifest.citation, manifest.doi]
    facts += [*manifest.notes, *manifest.sources, manifest.labels.format, manifest.split and manifest.split.rule]
    facts += [entry.path for entry in manifest.layout] + [entry.what for entry in manifest.layout]
    facts += [value for file in manifest.files for value in (file.name, file.url, file.sha1, *file.mirrors)]
    facts += [f"[unverified: {doubt}]" for _, doubt in manifest.unverified_facts()]
    for fact in filter(None, facts):
        assert fact in shown
    assert max(map(len, result.stdout.splitlines())) <= 100 or "http" in shown
    assert shown.count("[unverified: ") == len(manifest.unverified_facts())


def test_fetch(here, tmp_path, publish, server):
    url = server.add("/w", CONTENT, cuts=[5], etag='"1"')
    model = entry("w.caffemodel", kind="weights", url=url, sha1=SHA1)
    packed = entry("a.zip", url=server.add("/a", CONTENT)) + entry("m.bin", kind="mean", inside="a.zip", sha1=SHA1)
    rest = entry("by-hand.zip", how="Ask.") + entry("big.zip", url=server.add("/big", CONTENT), optional=True)
    publish(model + packed + rest)
    result = here("data", "fetch", "tiny", "--to", "new", cwd=tmp_path)
    assert result.returncode == 0, result.stderr
    assert result.stdout.splitlines() == [
        f"new/w.caffemodel: fetched from {url}; SHA-1 as published.",
        f"new/a.zip: fetched from {server.root}/a; nothing is stated to check it by. An archive: unpack it yourself.",
        "m.bin: is in a.zip.",
        "by-hand.zip: by hand. Ask.",
        "A tiny set: open. Visit the page.",
    ]
    assert sorted(path.name for path in (tmp_path / "new").iterdir()) == ["a.zip", "w.caffemodel"]
    again = here("data", "fetch", "tiny", "--file", "w.caffemodel", "--to", "new", cwd=tmp_path)
    assert again.stdout.startswith("new/w.caffemodel: was here already; SHA-1 as published.\n")
    assert [path for path, _ in server.asked] == ["/w", "/w", "/a"]


def test_an_optional_file_by_name_to_this_folder(here, tmp_path, publish, server):
    publish(
        entry("a.zip", url=server.add("/a", CONTENT)) + entry("b.zip", url=server.add("/b", CONTENT), optional=True)
    )
    assert here("data", "fetch", "tiny", "--file", "b.zip", cwd=tmp_path).returncode == 0
    assert (tmp_path / "b.zip").read_bytes() == CONTENT
    assert [path for path, _ in server.asked] == ["/b"]


def test_fetch_says_what_to_do_where_nothing_is_open(tmp_path):
    result = caffe_port("data", "fetch", "cvc-clinicdb", cwd=tmp_path)
    assert "Download CVC-ClinicDB.rar, to which the home page links" in result.stdout
    assert 'no program can fetch this. Do as said above, then "caffe-port data verify cvc-cl' in error_line(result)
    assert list(tmp_path.iterdir()) == []


def test_errors_of_fetch(here, tmp_path, publish, server):
    url = server.add("/a", CONTENT)
    publish(entry("a.zip", url=url, sha1=SHA1))
    line = error_line(here("data", "fetch", "tiny", "--file", "b.zip", cwd=tmp_path))
    assert line == "tiny has no file 'b.zip'. It has a.zip."
    (tmp_path / "a.zip").write_bytes(b"mine")
    line = error_line(here("data", "fetch", "tiny", cwd=tmp_path))
    assert re.match(r"a\.zip: has SHA-1 .*It is not overwritten", line)
    assert (tmp_path / "a.zip").read_bytes() == b"mine"
    line = error_line(here("data", "fetch", "tinny", cwd=tmp_path))
    assert line == "No data set is called 'tinny'. Did you mean 'tiny'?"
    (tmp_path / "file").write_text("")
    assert "is a file" in here("data", "fetch", "tiny", "--to", "file", cwd=tmp_path).stderr


def test_verify(here, tmp_path, publish):
    layout = '[[layout]]\npath = "set/*.png"\ncount = 2\n'
    publish(entry("w.caffemodel", kind="weights", how="Ask.", sha1=SHA1) + layout, access="request")
    (tmp_path / "set").mkdir()
    (tmp_path / "set" / "1.png").touch()
    (tmp_path / "w.caffemodel").write_bytes(CONTENT)
    result = here("data", "verify", "tiny", ".", cwd=tmp_path)
    assert result.stdout == "right   w.caffemodel (SHA-1)\nwrong   set/*.png (1 instead of 2)\n"
    assert "1 of 2 are not as published." in error_line(result)
    (tmp_path / "set" / "2.png").touch()
    result = here("data", "verify", "tiny", ".", cwd=tmp_path)
    assert (result.returncode, result.stdout) == (0, "right   w.caffemodel (SHA-1)\nright   set/*.png (2)\n")
