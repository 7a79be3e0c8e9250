"""The shipped manifests, beside the collection of facts that they were written from."""

from __future__ import annotations

import re

import pytest

from caffe_port.manifests import load, load_all, verify
from caffe_port.resources import manifests
from tests.shared import MODELS, SHARED, needs

FACTS = SHARED / "datasets.md"
#: Section of the facts -> the manifests made from it. (Q6 marks, besides a layout, two sets as not to be listed.)
SECTIONS = {
    "P1": ["asu-mayo"],
    "P2": ["cvc-clinicdb"],
    "P3": ["cvc-colondb"],
    "P4": ["etis-larib"],
    "P5": ["pranet"],
    "P6": ["kvasir-seg"],
    "P7": ["hyper-kvasir-segmented"],
    "P8": ["polypgen"],
    "P9": ["ldpolypvideo"],
    "P10": ["sun", "sun-seg"],
    "P11": ["real-colon"],
    "P12": ["cvc-clinicvideodb"],
    "Q1": ["biomedia-2019"],
    "Q2": ["hyper-kvasir"],
    "Q3": ["nerthus"],
    "Q4": ["infocolon"],
    "Q5": ["nbi-infframes"],
    "Q6": ["endocv2020"],
    "E1": ["cad-pe"],
    "E2": ["fumpe"],
    "E3": ["read-pe"],
    "E4": ["rspect"],
    "C1": ["cubs-v1"],
    "C2": ["cubs-v2"],
    "C3": ["cyprus-imt"],
    "C4": ["ccaui"],
    "C5": ["splab-cca"],
    "AlexNet": ["bvlc_alexnet"],
}


def sections():
    parts = re.split(r"^##+ (?=(\w+))", FACTS.read_text(encoding="utf-8"), flags=re.MULTILINE)
    return dict(zip(parts[1::2], parts[2::2]))


def test_every_manifest_is_read():
    assert [made.name for made in load_all()] == [path.stem for path in manifests()]
    assert sorted(made.name for made in load_all()) == sorted(name for names in SECTIONS.values() for name in names)


@needs(FACTS)
@pytest.mark.parametrize("section", SECTIONS)
def test_what_the_facts_mark_as_unverified_is_marked(section):
    marks = sections()[section].count("**unverified**") - (section == "Q6")
    assert sum(len(load(name).unverified_facts()) for name in SECTIONS[section]) >= marks


@needs(FACTS)
@pytest.mark.parametrize("path", manifests(), ids=lambda path: path.stem)
def test_addresses_identifiers_and_sums_are_those_of_the_facts(path):
    facts, text = FACTS.read_text(encoding="utf-8"), path.read_text(encoding="utf-8")
    text = re.sub(r"\\\n *", "", text)
    stated = re.findall(r"https?://[^\s\"),;]*[^\s\"),;.]|\b10\.\d{4,}/[\w./-]*\w|\b[0-9a-f]{40,64}\b", text)
    whole = {"https://datasets.simula.no/downloads/hyper-kvasir/", "https://github.com/simula/hyper-kvasir"}
    for each in stated:
        base = next((start for start in whole if each.startswith(start)), "")
        parts = [each.removeprefix(base)] if base else [each]
        assert all(part in facts for part in parts), each


def test_the_sequences_of_clinicdb():
    ranges = load("cvc-clinicdb").split.ranges
    assert len(ranges) == 29
    assert (ranges[0][0], ranges[-1][1]) == (1, 612)
    assert sum(last - first + 1 for first, last in ranges) == 612


@needs(FACTS)
def test_the_sequences_are_those_of_the_facts():
    listed = re.search(r"\n +(1-25, [\d\s,-]+)\.", sections()["P2"])[1]
    pairs = [tuple(map(int, pair.split("-"))) for pair in re.split(r",\s+", listed)]
    assert list(load("cvc-clinicdb").split.ranges) == pairs


@needs(MODELS / "ilsvrc_2012_mean.npy")
def test_the_mean_is_the_published_one():
    findings = {finding.place: finding for finding in verify(load("bvlc_alexnet"), MODELS)}
    assert findings["ilsvrc_2012_mean.npy"].state == "right"
