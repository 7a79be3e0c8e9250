"""The page of a run of detection: FROC curves, operating points, Tables S1 and S2, what was counted."""

from __future__ import annotations

import json
import re

import numpy as np
import pytest

from caffe_port.errors import StudyError
from caffe_port.study.report import write_report
from tests.study.report.html import rows
from tests.study.report.runs import embolism_run, polyps_run, write_table
from tests.study.report.test_page import curves

WHOLE = ("conv1-ip1", "conv2-ip1", "conv3-ip1", "ip1", "scratch", "handcrafted")
TITLES = ["FT: conv1-ip1", "FT: conv2-ip1", "FT: conv3-ip1", "FT: only ip1", "scratch", "handcrafted"]


@pytest.fixture(scope="module", params=[polyps_run, embolism_run], ids=["polyps", "embolism"])
def run(request, tmp_path_factory):
    """The page of a run and its entries in metrics.json."""
    folder = request.param(tmp_path_factory.mktemp("run"))
    return write_report(folder).read_text(), entries(folder)


def entries(folder):
    metrics = json.loads((folder / "metrics.json").read_text())
    return {**metrics["arms"], "handcrafted": metrics["handcrafted"]}


def change(folder, edit):
    """Write metrics.json anew after ``edit`` did something to every arm's entry, and give the page."""
    metrics = json.loads((folder / "metrics.json").read_text())
    for entry in [*metrics["arms"].values(), metrics["handcrafted"]]:
        edit(entry)
    (folder / "metrics.json").write_text(json.dumps(metrics))
    return write_report(folder).read_text()


def expected(value, ends, absent):
    return absent if value is None else f"{value:.3f} ({ends[0]:.3f}–{ends[1]:.3f})"


def test_sensitivity_at_the_operating_points(run):
    text, arms = run
    for row, title, name in zip(rows(text, "results-table"), TITLES, WHOLE, strict=True):
        points = arms[name]["sensitivity_at_fp"].values()
        cells = [expected(p["sensitivity"], p["ci95"], "not reached") for p in points]
        assert row == [title, *cells]
    for row, name in zip(rows(text, "model-table"), WHOLE, strict=True):
        points = arms[name]["sensitivity_at_fp"].values()
        assert row[1:] == [expected(p.get("model"), p.get("model_ci95"), "–") for p in points]


def test_a_point_beyond_the_curves_is_not_reached(run):
    text, arms = run
    cells = [cell for row in rows(text, "results-table") for cell in row[1:]]
    missing = sum(float(p) > arms[name]["froc"]["fp"][-1] for name in WHOLE for p in arms[name]["sensitivity_at_fp"])
    assert cells.count("not reached") == missing
    assert missing == (0 if "0.01" in arms["scratch"]["sensitivity_at_fp"] else len(WHOLE))


def test_pairs_whose_intervals_do_not_overlap(run):
    text, arms = run
    seen = set()
    for i, row in enumerate(rows(text, "separations"), 1):
        for j, cell in enumerate(row[1:]):
            if j >= i:
                assert cell == ""
                continue
            first, second = (arms[WHOLE[n]]["sensitivity_at_fp"] for n in (i, j))
            key, star = ("ci95", "*") if "handcrafted" in (WHOLE[i], WHOLE[j]) else ("model_ci95", "")
            apart = []
            for point in first:
                if first[point]["sensitivity"] is not None:
                    (low, high), (other_low, other_high) = first[point][key], second[point][key]
                    if high < other_low or other_high < low:
                        apart.append(point)
            assert cell == (", ".join(apart) or "none") + star
            seen.add(cell)
    assert {"none", "none*"} <= seen
    if "0.01" in arms["scratch"]["sensitivity_at_fp"]:
        assert "0.01, 0.001" in seen
        assert seen & {"0.01, 0.001*", "0.01*", "0.001*"}


def test_findings_name_the_better_arm(tmp_path):
    findings = {row[0]: row[1:] for row in rows(write_report(polyps_run(tmp_path)).read_text(), "findings")}
    words = "FT: conv1-ip1 is better at 0.01, 0.001 FP per frame (the model's intervals do not overlap)."
    assert findings["FT: conv1-ip1 or FT: only ip1"][1:] == ["yes", words]
    words = "The model's intervals overlap at 0.01, 0.001 FP per frame."
    assert findings["FT: conv1-ip1 or scratch"][1:] == ["no", words]
    _, shown, words = findings["scratch or handcrafted"]
    assert (shown, words[:20]) == ("yes", "scratch is better at")
    assert words.endswith("FP per frame (the bootstrap's intervals do not overlap).")


def test_the_drawn_curve_is_the_curve_of_metrics(tmp_path):
    folder = embolism_run(tmp_path)
    svg = re.search(r'id="froc-figure".*?</figure>', write_report(folder).read_text(), re.DOTALL)[0]
    curve = entries(folder)["scratch"]["froc"]
    x, y = max(curves(svg, "#c0392b"), key=lambda line: len(line[0]))
    # The first corner is at 0 false positives and the last at the largest number, at the sensitivities there.
    fp, sensitivity = np.array(curve["fp"]), np.array(curve["sensitivity"])
    x = (x - x[0]) / (x[-1] - x[0]) * fp[-1]
    y = (y - y[0]) / (y[-1] - y[0]) * (sensitivity[-1] - sensitivity[0]) + sensitivity[0]
    middle = (fp[1:] + fp[:-1]) / 2
    assert len(middle) > 15
    flat = [(a, b, level) for a, b, level, other in zip(x, x[1:], y, y[1:]) if abs(level - other) < 1e-6]
    drawn = [next(level for a, b, level in flat if a <= place <= b) for place in middle]
    np.testing.assert_allclose(drawn, sensitivity[:-1], atol=1e-3)


def test_figures_and_tables_are_named_as_in_the_paper(run):
    text, arms = run
    figure, table = ("Fig. 2", "Table S1") if "0.01" in arms["scratch"]["sensitivity_at_fp"] else ("Fig. 4", "Table S2")
    for name in (f"{figure}a", f"{figure}b", table, "Fig. 10"):
        assert f"({name})" in text


def test_counts_and_ceiling(run):
    text, arms = run
    counts = arms["scratch"]["counts"]
    (row,) = rows(text, "counts-table")
    assert row[0] == "all arms"
    assert [int(cell.replace(",", "")) for cell in row[1:6]] == list(counts.values())
    assert row[6:] == [
        f"{counts['found'] / counts['lesions']:.3f}",
        f"{counts['false_positives'] / counts['units']:.3f}",
    ]
    # Every part has the candidates of the test part.
    for part in rows(text, "candidates-table"):
        assert int(part[3]) == counts["found"]
        assert int(part[1].replace(",", "")) - int(part[2]) == counts["false_positives"]


def test_arms_that_scored_different_candidates_are_counted_apart(tmp_path):
    folder = embolism_run(tmp_path)
    metrics = json.loads((folder / "metrics.json").read_text())
    metrics["handcrafted"]["counts"]["found"] = 30
    (folder / "metrics.json").write_text(json.dumps(metrics))
    table = rows(write_report(folder).read_text(), "counts-table")
    assert [(row[0], row[4], row[6]) for row in table] == [
        (", ".join(TITLES[:-1]), "48", "0.800"),
        ("handcrafted", "30", "0.500"),
    ]


def test_reduced_training_sets(run):
    text, _ = run
    svg = re.search(r'id="reduced-curves".*?</figure>', text, re.DOTALL)[0]
    for part in ("", ", 0.5 of the training set", ", 0.25 of the training set"):
        assert f">FT: conv1-ip1{part}</text>" in svg
        assert f">scratch{part}</text>" in svg
    assert [row[:2] for row in rows(text, "reduced-table")] == [
        [arm, part] for arm in ("FT: conv1-ip1", "scratch") for part in ("25 %", "50 %", "100 %")
    ]


def test_the_measure_is_the_middle_of_the_points_that_are_reached(run):
    text, arms = run
    point, unit = ("0.01", "frame") if "0.01" in arms["scratch"]["sensitivity_at_fp"] else ("3", "volume")
    values = {title: arms[name]["sensitivity_at_fp"][point]["sensitivity"] for title, name in zip(TITLES, WHOLE)}
    largest = max(values.values())
    best = ", ".join(title for title, value in values.items() if value == largest)
    assert f"Sensitivity at {point} FP per {unit}: largest with {best}, {largest:.3f}." in text


def test_without_the_model_every_pair_goes_by_the_bootstrap(tmp_path):
    def edit(entry):
        entry["model"] = None
        for point in entry["sensitivity_at_fp"].values():
            point.pop("model", None), point.pop("model_ci95", None)

    text = change(polyps_run(tmp_path), edit)
    assert 'id="model-table"' not in text
    assert "The model cannot be fitted to FT: conv1-ip1, FT: conv3-ip1, FT: only ip1, scratch, handcrafted." in text
    assert all(cell.endswith("*") for n, row in enumerate(rows(text, "separations"), 1) for cell in row[1 : n + 1])


def test_sensitivities_without_intervals_are_shown_without(tmp_path):
    def edit(entry):
        for point in entry["sensitivity_at_fp"].values():
            point["ci95"] = None
            point.pop("model_ci95", None)

    folder = embolism_run(tmp_path)
    text = change(folder, edit)
    value = entries(folder)["scratch"]["sensitivity_at_fp"]["1"]["sensitivity"]
    assert {row[0]: row[1] for row in rows(text, "results-table")}["scratch"] == f"{value:.3f} (no interval)"
    assert {cell for row in rows(text, "separations") for cell in row[1:]} == {"", "–"}
    assert "There is no operating point at which all arms have a sensitivity with an interval." in text
    assert 'id="reduced-curves"' in text


def test_arms_stand_deepest_first_as_their_nets_tell(tmp_path):
    folder = embolism_run(tmp_path)
    metrics = json.loads((folder / "metrics.json").read_text())
    metrics["arms"] = dict(reversed(metrics["arms"].items()))
    (folder / "metrics.json").write_text(json.dumps(metrics))
    assert [row[0] for row in rows(write_report(folder).read_text(), "results-table")] == TITLES


def test_candidates_that_do_not_fit(tmp_path):
    folder = embolism_run(tmp_path)
    write_table(folder / "candidates.csv", ("case", "lesion"), [("case0", ""), ("another", "")])
    with pytest.raises(StudyError, match=r"candidates\.csv: has the case 'another'"):
        write_report(folder)
    (folder / "candidates.csv").unlink()
    with pytest.raises(StudyError, match=r"candidates\.csv: is not there"):
        write_report(folder)
