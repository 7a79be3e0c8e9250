"""The page of a run: numbers that lead back to metrics.json, figures that show them, nothing from elsewhere."""

from __future__ import annotations

import base64
import json
import re

import numpy as np
import pytest

from caffe_port.errors import StudyError
from caffe_port.study.report import write_report
from tests.study.report.html import Page, resolve, rows
from tests.study.report.runs import RUNS, frames_run, interfaces_run


@pytest.fixture(scope="module", params=RUNS)
def run(request, tmp_path_factory):
    """The folder of a run with its report; the page as text and parsed; metrics.json."""
    folder = tmp_path_factory.mktemp(request.param)
    RUNS[request.param](folder)
    text = write_report(folder).read_text()
    return folder, text, Page(text), json.loads((folder / "metrics.json").read_text())


def test_every_number_with_a_place_is_the_number_there(run):
    _, _, page, metrics = run
    numbers = [element for element in page.all("data") if "data-path" in element[1]]
    assert len(numbers) > 50
    for _, attributes, text in numbers:
        value = resolve(metrics, attributes["data-path"])
        assert attributes["title"].startswith(f"metrics.json {attributes['data-path']} = ")
        if isinstance(value, float) and not attributes["data-path"].startswith("/settings"):
            assert float(attributes["value"]) == value
            if text.startswith("p<"):
                assert value < float("0" + text[2:])
            else:
                assert float(text) == pytest.approx(value, abs=0.51 * 10 ** -len(text.partition(".")[2]))


@pytest.mark.parametrize("run", ["interfaces", "frames"], indirect=True)
def test_results_have_a_row_for_every_whole_arm(run):
    _, text, _, metrics = run
    names = [row[0] for row in rows(text, "results-table")]
    assert names == ["FT: conv1-ip1", "FT: conv2-ip1", "FT: only ip1", "scratch", "handcrafted"]
    deepest = metrics["arms"]["conv1-ip1"]
    first = rows(text, "results-table")[0]
    if metrics["application"] == "interfaces":
        errors = list(deepest["imt_error_mm"]["per_roi"].values())
        assert first[3] == f"{np.mean(errors):.3f} ± {np.std(errors, ddof=1):.3f}"
        assert first[4] == "24"
        assert f">{first[3]}</text>" in text  # beside the box plot
    else:
        assert first[1] == "{:.3f} ({:.3f}–{:.3f})".format(deepest["auc"], *deepest["auc_ci95"])


def test_the_embedded_metrics_are_those_of_the_run(run):
    _, _, page, metrics = run
    ((_, attributes, _),) = page.all("a", download="metrics.json")
    assert json.loads(base64.b64decode(attributes["href"].split("base64,")[1])) == metrics


def test_nothing_is_fetched(run):
    _, text, page, _ = run
    for tag, attributes, _ in page.elements:
        assert tag not in ("link", "iframe", "object")
        for name in ("src", "href", "xlink:href", "srcset", "action"):
            assert attributes.get(name, "#").startswith(("#", "data:"))
    assert not re.search(r"url\((?!#)|@import|https?://(?!www\.w3\.org/)", text)


def test_ids_are_unique_and_references_lead_somewhere(run):
    _, text, page, _ = run
    ids = [attributes["id"] for _, attributes, _ in page.elements if "id" in attributes]
    assert len(ids) == len(set(ids))
    used = set(re.findall(r'(?:href="|url\()#([^")]+)', text))
    assert used
    assert used <= set(ids)


def test_pictures_have_text_alternatives_and_tables_have_captions(run):
    _, _, page, _ = run
    assert all(len(attributes["aria-label"]) > 20 for _, attributes, _ in page.all("svg"))
    assert all(attributes["alt"] for _, attributes, _ in page.all("img"))
    captions = page.all("figcaption")
    assert len(captions) == len(page.all("figure"))
    assert all(text.strip() for *_, text in captions)
    assert all(attributes["scope"] in ("row", "col") for _, attributes, _ in page.all("th"))


def test_what_is_missing_is_said(run):
    assert "There are no results yet for: unfinished." in run[1]
    assert "Procedural data." not in run[1]


@pytest.mark.parametrize("run", ["interfaces", "frames"], indirect=True)
def test_counts_of_the_parts(run):
    _, text, _, metrics = run
    classes = 3 if metrics["application"] == "interfaces" else 2
    counts = {row[0]: row[1:] for row in rows(text, "splits")}
    assert [part[:2] for part in counts.values()] == [["24", "12"]] * 3
    # 600 patches go round 48 cases, of which the first half trains.
    assert sum(map(int, counts["training"][2:])) == sum(n % 48 < 24 for n in range(600))
    assert len(counts["training"]) == 2 + classes
    assert counts["test"][2:] == ["–"] * classes


def test_convergence_table(run):
    _, text, _, metrics = run
    for row in rows(text, "convergence-table"):
        name = {"FT: only ip1": "ip1"}.get(row[0], row[0].replace("FT: ", "").replace(" (", "+").rstrip(")"))
        values = metrics["arms"][name]["validation_auc"]
        assert row[1:4] == [f"{values[0]:.3f}", f"{max(values):.3f}", str(1 + values.index(max(values)))]
        near = int(row[4]) - 1
        assert values[near] >= max(values) - 0.01 > max(values[:near], default=0)


def test_the_same_run_gives_the_same_page(run):
    folder, text, *_ = run
    assert write_report(folder).read_text() == text


def test_the_area_under_the_drawn_curve_is_the_auc(tmp_path):
    text = write_report(frames_run(tmp_path)).read_text()
    metrics = json.loads((tmp_path / "metrics.json").read_text())
    svg = re.search(r'id="roc-figure".*?</figure>', text, re.DOTALL)[0]
    assert re.findall(r"<text[^>]*>(FT: .*?|scratch|handcrafted)</text>", svg)[-1] == "handcrafted"
    for color, entry in (("#c0392b", metrics["arms"]["scratch"]), ("#6b6b6b", metrics["handcrafted"])):
        # A line in the legend has the same colour; it is the one of two corners.
        x, y = max((curve for curve in curves(svg, color)), key=lambda curve: len(curve[0]))
        assert area_below(x, y) == pytest.approx(entry["auc"], abs=0.002)


def area_below(x, y):
    """The area under a curve from (0, 0) to (1, 1) that is drawn in other units."""
    x, y = (x - x[0]) / (x[-1] - x[0]), (y - y[0]) / (y[-1] - y[0])
    return np.sum(np.diff(x) * (y[1:] + y[:-1]) / 2)


def curves(svg, color):
    """Corners (x, y), y upwards, of every line of this colour."""
    for path in re.findall(rf'<path d="([^"]*)"[^>]*style="[^"]*stroke: {color}', svg):
        numbers = np.array([float(n) for n in re.findall(r"-?\d+(?:\.\d+)?", path)]).reshape(-1, 2)
        yield numbers[:, 0], -numbers[:, 1]


def test_table_s3_lists_the_rates_without_overlap(tmp_path):
    text = write_report(frames_run(tmp_path)).read_text()
    metrics = json.loads((tmp_path / "metrics.json").read_text())
    entries = {**metrics["arms"], "handcrafted": metrics["handcrafted"]}
    names = ["conv1-ip1", "conv2-ip1", "ip1", "scratch", "handcrafted"]
    table = rows(text, "separations")
    seen = set()
    for i, row in enumerate(table, 1):
        for j, cell in enumerate(row[1:]):
            apart = []
            for rate in ("0.1", "0.15", "0.2"):
                (low, high), (other_low, other_high) = (entries[names[n]]["tpr_at_fpr"][rate]["ci95"] for n in (i, j))
                if high < other_low or other_high < low:
                    apart.append(f"{100 * float(rate):g}")
            expected = ", ".join(apart) or "none"
            assert cell == (expected if j < i else "")
            seen.add(cell)
    assert {"none", ""} < seen


def test_findings_need_the_test_and_the_bootstrap(tmp_path):
    folder = interfaces_run(tmp_path)
    findings = rows(write_report(folder).read_text(), "findings")
    assert len(findings) == 4 * 3
    for pair, _, difference, p, shown, words in findings:
        low, high = (float(n.replace("−", "-")) for n in re.search(r"\((.*) to (.*)\)", difference).groups())
        holm = re.search(r"\((.*)\)", p)[1]
        by_test = holm.startswith("p<") or float(holm) < 0.05
        by_patients = low > 0 or high < 0
        assert (shown == "yes") == (by_test and by_patients)
        assert ("better" in words) == (shown == "yes")
        if shown == "yes":
            assert words.startswith(pair.split(" or ")[high > 0])
        elif by_test or by_patients:
            assert words == f"Not settled: only the {'adjusted test' if by_test else 'bootstrap'} shows one."
    assert len({finding[4] for finding in findings}) == 2


def test_reduced_training_sets(tmp_path):
    text = write_report(interfaces_run(tmp_path)).read_text()
    listed = [row[:3] for row in rows(text, "reduced-table")]
    assert listed == [
        [arm, part, draw]
        for arm in ("FT: conv1-ip1", "scratch")
        for part, draw in (("10 %", "1"), ("10 %", "2"), ("100 %", ""))
    ]


def test_a_run_of_reduced_training_sets_alone(tmp_path):
    """Without the patches of the whole one, and scratch with another initialisation than the net's own."""
    folder = interfaces_run(tmp_path)
    metrics = json.loads((folder / "metrics.json").read_text())
    names = {
        "conv1-ip1@0.1": "conv1-ip1@0.1",
        "scratch+xavier@0.1": "scratch@0.1",
        "scratch+xavier@0.1~10": "scratch@0.1~2",
    }
    metrics["arms"] = {name: metrics["arms"][old] for name, old in names.items()}
    metrics["comparisons"] = []
    (folder / "metrics.json").write_text(json.dumps(metrics))
    (folder / "patches.csv").unlink()
    text = write_report(folder).read_text()
    assert [row[:3] for row in rows(text, "reduced-table")] == [
        ["FT: conv1-ip1", "10 %", "1"], ["scratch (xavier)", "10 %", "1"], ["scratch (xavier)", "10 %", "10"],
    ]  # fmt: skip
    assert [row[0] for row in rows(text, "splits")] == ["training", "validation", "test"]


def test_roc_curves_of_reduced_training_sets(tmp_path):
    text = write_report(frames_run(tmp_path)).read_text()
    svg = re.search(r'id="reduced-curves".*?</figure>', text, re.DOTALL)[0]
    metrics = json.loads((tmp_path / "metrics.json").read_text())
    titles = re.findall(r"<text[^>]*>(FT: .*?|scratch.*?)</text>", svg)
    part = ", 0.05 of the training set"
    assert titles == ["FT: conv1-ip1", f"FT: conv1-ip1{part}", "scratch", f"scratch{part}"]
    drawn = sorted(curves(svg, "#c0392b"), key=lambda curve: len(curve[0]))[-2:]
    areas = sorted(metrics["arms"][arm]["auc"] for arm in ("scratch", "scratch@0.05"))
    assert sorted(area_below(*curve) for curve in drawn) == pytest.approx(areas, abs=0.002)


def test_a_run_without_fractions_pictures_and_tests(tmp_path):
    folder = frames_run(tmp_path)
    metrics = json.loads((folder / "metrics.json").read_text())
    metrics["arms"] = {"ip1": metrics["arms"]["ip1"]}
    metrics["comparisons"], metrics["handcrafted"] = [], {}
    (folder / "metrics.json").write_text(json.dumps(metrics))
    page = Page(write_report(folder).read_text())
    assert [row[0] for row in rows((folder / "report" / "index.html").read_text(), "results-table")] == ["FT: only ip1"]
    headings = [text for *_, text in page.all("h2")]
    assert "Reduced training sets" not in headings
    assert "Pictures" not in headings
    assert "Comparisons" in headings


@pytest.mark.parametrize("make", RUNS.values(), ids=RUNS)
def test_procedural_data_are_labelled(tmp_path, make):
    assert "Procedural data." in write_report(make(tmp_path, prefix="procedural_")).read_text()


def test_names_cannot_become_markup(tmp_path):
    folder = interfaces_run(tmp_path)
    bad = "<script>alert('x')</script>\"&"
    metrics = json.loads((folder / "metrics.json").read_text())
    metrics["settings"]["data"]["dataset"] = bad
    metrics["arms"][bad] = metrics["arms"]["ip1"]
    (folder / "metrics.json").write_text(json.dumps(metrics))
    (folder / "arms" / "conv1-ip1" / "pictures" / "case48.png").rename(
        folder / "arms" / "conv1-ip1" / "pictures" / "<b>&.png"
    )
    page = Page(write_report(folder).read_text())
    assert len(page.all("script")) == 1
    assert not page.all("b")
    assert any(bad in text for *_, text in page.all("p"))


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (None, r"metrics\.json: is not there\. Run 'caffe-port study evaluate'"),
        ("{", r"metrics\.json: cannot be read"),
        ("[]", r"metrics\.json: has not application, arms"),
        ('{"application": "frames", "arms": {}}', r"metrics\.json: holds no arm yet\. Run"),
        (
            '{"application": "x", "arms": {"fc8": {}}}',
            r"no report for the application 'x'.*polyps, embolism, frames, interfaces",
        ),
    ],
)
def test_no_usable_metrics(tmp_path, content, message):
    frames_run(tmp_path)
    (tmp_path / "metrics.json").unlink()
    if content:
        (tmp_path / "metrics.json").write_text(content)
    with pytest.raises(StudyError, match=message):
        write_report(tmp_path)
    assert not (tmp_path / "report").exists()
