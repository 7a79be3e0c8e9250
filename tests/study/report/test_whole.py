"""The page of the whole study: several runs, each with its own names and its own metrics.json, and what follows."""

from __future__ import annotations

import base64
import json
import re
import shutil

import pytest

from caffe_port.errors import StudyError
from caffe_port.study.report import write_report, write_whole_report
from caffe_port.study.statistics.bootstrap import bootstrap, weighted_mean
from tests.study.report.html import Page, resolve, rows
from tests.study.report.runs import RUNS, frames_run, interfaces_run

TITLES = {
    "polyps": "Polyps in colonoscopy",
    "embolism": "Pulmonary embolism in CT",
    "frames": "Informative and non-informative colonoscopy frames",
    "interfaces": "Carotid intima-media interfaces",
}


@pytest.fixture(scope="module")
def study(tmp_path_factory):
    """A root with all four applications, emboli and frames generated ones; its page, and metrics.json by file."""
    root = tmp_path_factory.mktemp("study")
    for name, make in RUNS.items():
        make(root / name, prefix="procedural_" if name in ("embolism", "frames") else "")
    text = write_whole_report(root).read_text()
    files = {f"{name}/metrics.json": json.loads((root / name / "metrics.json").read_text()) for name in RUNS}
    return root, text, Page(text), files


def articles(text):
    return dict(re.findall(r'<article id="(\w+)">(.*?)</article>', text, re.DOTALL))


def test_every_number_stands_in_the_file_that_it_names(study):
    _, text, page, files = study
    numbers = [attributes for _, attributes, _ in page.all("data") if "data-path" in attributes]
    for attributes in numbers:
        file, path = attributes["data-file"], attributes["data-path"]
        value = resolve(files[file], path)
        assert attributes["title"] == f"{file} {path} = {attributes['value']}"
        if isinstance(value, float) and not path.startswith("/settings"):
            assert float(attributes["value"]) == value
    assert {attributes["data-file"] for attributes in numbers} == set(files)
    for name, body in articles(text).items():
        assert set(re.findall('data-file="(.*?)"', body)) == {f"{name}/metrics.json"}


def test_ids_are_unique_and_references_lead_somewhere(study):
    _, text, page, _ = study
    ids = [attributes["id"] for _, attributes, _ in page.elements if "id" in attributes]
    assert len(ids) == len(set(ids))
    used = set(re.findall(r'(?:href="|url\()#([^")]+)', text))
    assert {"polyps", "embolism-results", "interfaces-pictures", "depths"} < used <= set(ids)


def test_a_part_holds_what_the_page_of_its_run_holds(study):
    root, text, _, _ = study
    for name in ("embolism", "interfaces"):
        body = articles(text)[name]
        alone = write_report(root / name).read_text()
        for block in re.findall(r'<figure id="([\w-]+)"', alone) + re.findall(r'class="table" id="([\w-]+)"', alone):
            assert f'id="{name}-{block}"' in body
        assert len(re.findall("<svg", body)) == len(re.findall("<svg", alone))


def test_the_papers_figures_and_tables_are_named(study):
    parts = articles(study[1])
    for name, places in {
        "polyps": ("Fig. 2a", "Fig. 2b", "Table S1"),
        "embolism": ("Fig. 4a", "Fig. 4b", "Table S2"),
        "frames": ("Fig. 6a", "Fig. 6b", "Table S3"),
        "interfaces": ("Fig. 9", "Table S4"),
    }.items():
        for place in (*places, "Fig. 10"):
            assert f"({place})" in parts[name]


def test_procedural_data_are_labelled_at_the_top_and_in_their_part(study):
    _, text, _, _ = study
    banner = "Procedural data."
    top = text.partition("<article")[0]
    assert banner in top
    assert f"The images of {TITLES['embolism']}; {TITLES['frames']} were made by formulas." in top
    assert {name: banner in body for name, body in articles(text).items()} == {
        "polyps": False, "embolism": True, "frames": True, "interfaces": False,
    }  # fmt: skip
    assert [row[2] for row in rows(text, "overview-table")] == ["no", "yes", "yes", "no"]
    applications = [row[0] for row in rows(text, "depths-table")]
    assert applications == [TITLES[name] + " (procedural data)" * (name in ("embolism", "frames")) for name in RUNS]


def test_the_files_are_part_of_the_page(study):
    _, _, page, files = study
    for file, content in files.items():
        ((_, attributes, _),) = page.all("a", download=file.replace("/", "-"))
        assert json.loads(base64.b64decode(attributes["href"].split("base64,")[1])) == content


def measures(name, metrics):
    """(value, low, high) of every arm on the whole training set, deepest first."""
    entries = {arm: entry for arm, entry in metrics["arms"].items() if "@" not in arm and "+" not in arm}
    entries["handcrafted"] = metrics["handcrafted"]
    found = {}
    for arm, entry in entries.items():
        if name == "frames":
            found[arm] = (entry["auc"], *entry["auc_ci95"])
        elif name == "interfaces":
            regions = entry["imt_error_mm"]["per_roi"]
            # Two regions of each patient, one after the other.
            interval = bootstrap(weighted_mean(list(regions.values())), [n // 2 for n in range(len(regions))])
            found[arm] = (entry["imt_error_mm"]["mean"], interval.low, interval.high)
        else:
            point = entry["sensitivity_at_fp"]["0.01" if name == "polyps" else "3"]
            found[arm] = (point["sensitivity"], *point["ci95"])
    return found


def test_which_depth_for_which_application(study):
    _, text, _, files = study
    table = dict(zip(RUNS, rows(text, "depths-table"), strict=True))
    for name in RUNS:
        metrics = files[f"{name}/metrics.json"]
        found = measures(name, metrics)
        sign = -1 if name == "interfaces" else 1
        depths = [arm for arm in found if arm not in ("scratch", "handcrafted")]
        top = max(sign * found[arm][0] for arm in depths)
        best = [arm for arm in depths if sign * found[arm][0] == top][-1]

        def apart(arm, best=best, found=found):
            return found[arm][1] > found[best][2] or found[arm][2] < found[best][1]

        def verdict(arm, best=best, found=found, sign=sign, apart=apart):
            gain = sign * (found[arm][0] - found[best][0])
            value = "better" if gain > 0 else "worse" if gain < 0 else "equal"
            return f"{value}, {'apart' if apart(arm) else 'overlaps'}"

        shallowest = [arm for arm in depths if not apart(arm)][-1]
        shown = [
            f"FT: {arm if '-' in arm else 'only ' + arm} {{:.3f}} ({{:.3f}}–{{:.3f}})".format(*found[arm])
            for arm in (best, shallowest)
        ]
        seconds = [metrics["arms"][arm]["seconds"] for arm in (shallowest, best)]
        assert table[name][2:5] == [*shown, f"{100 * seconds[0] / seconds[1]:.0f}"]
        assert table[name][5] == "{} {:.3f} ({:.3f}–{:.3f})".format(verdict("scratch"), *found["scratch"])

        costs = {row[0]: row for row in rows(text, f"depths-{name}")}
        assert len(costs) == len(found)
        for arm, row in zip(found, costs.values(), strict=True):
            if arm in (best, shallowest):
                assert row[2].startswith("best" if arm == best else "shallowest that overlaps")
            else:
                assert row[2] == verdict(arm)
            if arm != "handcrafted":
                entry = metrics["arms"][arm]
                assert row[3:5] == [str(entry["epochs"]), f"{entry['seconds']:.0f}"]


def test_weights_that_are_trained(study):
    # Three convolutions of 4 maps and 3 x 3 (from 3, 4 and 4 maps), then 2 outputs of 4 x 2 x 2, each with its bias.
    sizes = [4 * (9 * 3 + 1), 4 * (9 * 4 + 1), 4 * (9 * 4 + 1), 2 * (16 + 1)]
    trained = [row[5] for row in rows(study[1], "depths-embolism")]
    assert trained == [*(str(sum(sizes[n:])) for n in range(4)), str(sum(sizes)), "–"]
    assert {row[5] for row in rows(study[1], "depths-frames")} == {"–"}  # that run has no nets


def test_a_part_of_the_study(tmp_path):
    shutil.copytree(frames_run(tmp_path / "frames"), tmp_path / "other")
    interfaces_run(tmp_path / "interfaces")
    text = write_whole_report(tmp_path).read_text()
    assert list(articles(text)) == ["frames", "interfaces"]
    assert f"There are no results of: {TITLES['polyps']}; {TITLES['embolism']}." in text
    assert f"Arms are missing of: {TITLES['frames']}; {TITLES['interfaces']}." in text
    assert "Procedural data." not in text


def test_an_application_without_a_measure(tmp_path):
    folder = RUNS["embolism"](tmp_path / "embolism")
    metrics = json.loads((folder / "metrics.json").read_text())
    metrics["handcrafted"]["sensitivity_at_fp"] = {"1": {"sensitivity": None, "ci95": None}}
    (folder / "metrics.json").write_text(json.dumps(metrics))
    text = write_whole_report(tmp_path).read_text()
    assert f"No depth has a number with an interval in: {TITLES['embolism']}." in text
    assert 'id="depths-table"' not in text


def test_no_study(tmp_path):
    with pytest.raises(StudyError, match=r"holds no run with results.*polyps, embolism, frames, interfaces"):
        write_whole_report(tmp_path)
    frames_run(tmp_path / "interfaces")
    with pytest.raises(StudyError, match=r"interfaces/metrics\.json: is of the application 'frames'"):
        write_whole_report(tmp_path)
    (tmp_path / "interfaces" / "metrics.json").write_text("{")
    with pytest.raises(StudyError, match=r"interfaces/metrics\.json: cannot be read"):
        write_whole_report(tmp_path)
    assert not (tmp_path / "report").exists()
