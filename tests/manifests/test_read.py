"""Reading manifests: one schema, and every fault named with its file and key."""

from __future__ import annotations

import re

import pytest

from caffe_port.errors import DataError, FormatError
from caffe_port.manifests import File, Layout, Split, load, read_manifest
from tests.manifests.make import LEAST, manifest_file

OPEN = LEAST.replace('"by hand"', '"open"')
FILE = '[[files]]\nname = "a.zip"\nhow = "Ask."\n'
WHOLE = """
unverified = { licence = "so says one page" }
[[files]]
name = "a.zip"
url = "https://example.org/a.zip"
mirrors = ["http://example.org/b.zip"]
size = 12
unverified = { mirrors = "whether it is alive" }
[[files]]
name = "w.caffemodel"
kind = "weights"
inside = "a.zip"
sha1 = "0123456789abcdef0123456789abcdef01234567"
parameters = 3
[[layout]]
path = "Set A/*/[1-2].png"
count = 2
[split]
by = "video"
rule = "By number."
ranges = [[1, 2], [3, 3]]
"""


def test_every_kind_of_key(tmp_path):
    made = read_manifest(manifest_file(tmp_path, WHOLE, OPEN))
    zipped = File(
        name="a.zip",
        url="https://example.org/a.zip",
        mirrors=("http://example.org/b.zip",),
        size=12,
        unverified={"mirrors": "whether it is alive"},
    )
    assert made.files[0] == zipped
    assert (made.files[1].inside, made.files[1].parameters) == ("a.zip", 3)
    assert made.layout == (Layout(path="Set A/*/[1-2].png", count=2),)
    assert made.split == Split(by="video", rule="By number.", ranges=((1, 2), (3, 3)))
    assert made.unverified_facts() == [("licence", "so says one page"), ("a.zip: mirrors", "whether it is alive")]
    assert made.size == "12 bytes"


def test_the_size_is_of_what_is_fetched(tmp_path):
    files = "".join(
        f'[[files]]\nname = "{name}"\nhow = "Ask."\n{size}\n'
        for name, size in [("a", "size = 3_928_814_344"), ("b", 'approximate_size = "46 MB"'), ("c", "optional = true")]
    )
    assert read_manifest(manifest_file(tmp_path, files)).size == "3.9 GB + 46 MB"


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ('licens = "x"', "licens: unknown key. Did you mean 'licence'?"),
        ('zzz = "x"', "zzz: unknown key. There are unverified, name,"),
        (f'{FILE}md5 = "x"', "files #1: md5: unknown key"),
        ("doi = 10", "doi: is not text."),
        ('notes = "x"', "notes: is not an array."),
        ("notes = [1]", "notes #1: is not text."),
        ("files = [1]", "files #1: is not a table."),
        (f"{FILE}size = true", "files #1: size: is not a whole number."),
        (f"{FILE}size = 1.5", "files #1: size: is not a whole number."),
        (f"{FILE}optional = 1", "files #1: optional: is not true or false."),
        ("[[files]]\nhow = 'Ask.'", "files #1: name: is missing."),
        ("split = { by = 'x', rule = 'y', ranges = [[1, 2, 3]] }", "split: ranges #1: is not an array of 2."),
        ("split = { by = 'x', rule = 'y', ranges = [[2, 1]] }", "split: ranges: a range ends before it begins."),
        ("split = { by = 'x', rule = 'y', ranges = [[1, 2], [4, 5]] }", "split: ranges: they overlap or leave a gap."),
        ("split = { by = 'x', rule = 'y', ranges = [[1, 2], [2, 5]] }", "split: ranges: they overlap or leave a gap."),
        ("unverified = { doi = 'x' }", "unverified: marks 'doi', which is not set."),
        ("unverified = { dio = 'x' }", "unverified: marks 'dio', which is not set."),
        (f"{FILE}unverified = {{ size = 'x' }}", "files #1: unverified: marks 'size', which is not set."),
        ('terms = "two\\nlines"', "terms: begins or ends with a blank, or has several or line ends in it."),
        (f"{FILE}url = 'http://a/b'", "files #1: url: exactly one of url, inside and how"),
        ("[[files]]\nname = 'a'", "files #1: url: exactly one of url, inside and how"),
        ("[[files]]\nname = 'a/b'\nhow = 'Ask.'", "files #1: name: 'a/b' is not the name of a file."),
        ("[[files]]\nname = '..'\nhow = 'Ask.'", "files #1: name: '..' is not the name of a file."),
        ("[[files]]\nname = 'a'\nurl = 'file:///etc'", "files #1: url: 'file:///etc' is not an http or https address."),
        (f"{FILE}mirrors = ['http://a/b']", "files #1: mirrors: are beside a url only."),
        (f"{FILE}sha1 = 'abc'", "files #1: sha1: is not 40 digits 0-9a-f."),
        (f"{FILE}sha256 = '{'A' * 64}'", "files #1: sha256: is not 64 digits 0-9a-f."),
        (f"{FILE}size = 0", "files #1: size: is not positive."),
        (f"{FILE}kind = 'nets'", "files #1: kind: 'nets' is none of archive, weights, mean."),
        (f"{FILE}kind = 'weights'", "files #1: sha1: is missing: weights are recognised by it."),
        (FILE + FILE, "files: two have one name."),
        ("[[files]]\nname = 'a'\ninside = 'b'", "files: one is inside a file that is not listed."),
        ("[[files]]\nname = 'a'\nurl = 'http://b/c'", "access: is open where files have a url, and only there."),
        ("[[layout]]\npath = '/a'", "layout #1: path: is not a path below a folder"),
        ("[[layout]]\npath = 'a/../../b'", "layout #1: path: is not a path below a folder"),
        ("[[layout]]\npath = 'a/**/b'", "layout #1: path: is not a path below a folder"),
        ("[[layout]]\npath = 'a'\ncount = 0", "layout #1: count: is not positive."),
        ("home = 'example.org'", "home: 'example.org' is not an http or https address."),
    ],
)
def test_faults(tmp_path, text, message):
    path = manifest_file(tmp_path, text)
    with pytest.raises(FormatError, match="^" + re.escape(f"{path}: {message}")):
        read_manifest(path)


@pytest.mark.parametrize(
    ("key", "value", "message"),
    [
        ("application", "bones", "application: 'bones' is none of polyps, embolism, frames, interfaces, all."),
        ("access", "closed", "access: 'closed' is none of open, by hand, registration, request."),
        ("access", "open", "access: is open where files have a url, and only there."),
        ("steps", "", "steps: are missing: what has a person to do?"),
    ],
)
def test_values(tmp_path, key, value, message):
    least = re.sub(rf"^{key} = .*$", f'{key} = "{value}"', LEAST, flags=re.MULTILINE)
    with pytest.raises(FormatError, match=re.escape(message)):
        read_manifest(manifest_file(tmp_path, least=least))


@pytest.mark.parametrize("key", re.findall(r"^(\w+) = ", LEAST, re.MULTILINE))
def test_no_key_of_the_least_may_lack(tmp_path, key):
    least = re.sub(rf"^{key} = .*\n", "", LEAST, flags=re.MULTILINE)
    with pytest.raises(FormatError, match=rf"tiny\.toml: {key}: (is|are) missing"):
        read_manifest(manifest_file(tmp_path, least=least))


def test_the_name_is_that_of_the_file(tmp_path):
    path = manifest_file(tmp_path, name="other")
    with pytest.raises(FormatError, match=rf"{path}: name: 'tiny' is not the name of the file"):
        read_manifest(path)


def test_by_name():
    assert load("nerthus").title == "Nerthus"
    with pytest.raises(DataError, match=r"No data set is called 'nertus'\. Did you mean 'nerthus'\?"):
        load("nertus")
    with pytest.raises(DataError, match=r"There are asu-mayo, .*sun\."):
        load("zzzzzz")
