"""The 95 % intervals hold the truth in 93 to 97 % of 2,000 simulated data sets and more, where theory promises 95 %."""

from __future__ import annotations

import subprocess
import sys

import pytest

from caffe_port.study.statistics.bootstrap import bootstrap
from caffe_port.study.statistics.candidate_model import CandidateModel
from caffe_port.study.statistics.roc import auc
from tests.shared import ROOT, tool

coverage = tool("interval_coverage")


def promised(shares):
    return all(0.93 <= share <= 0.97 for share in shares)


@pytest.mark.parametrize("area", [0.75, 0.95])
def test_intervals_of_400_cases_of_each_class(area):
    truth = coverage.Truth(area)
    assert promised([coverage.delong_coverage(truth, 400, draws=5000)])
    assert promised(coverage.tpr_coverage(truth, 400, draws=2000))
    shares, degenerate = coverage.binormal_coverage(truth, 400, draws=2000)
    assert promised(shares)
    assert degenerate == 0


def test_the_binormal_band_where_the_classes_differ_in_spread():
    shares, _ = coverage.binormal_coverage(coverage.Truth(0.85, b=0.6), 400, draws=2000)
    assert promised(shares)


def test_the_bootstrap_of_100_patients():
    shares = coverage.bootstrap_coverage(100, draws=2000)
    assert len(shares) == 5
    assert promised(share for (share,) in shares.values()), shares


@pytest.mark.parametrize(("area", "b", "share"), [(0.75, 1, 0.9), (0.85, 0.6, 0.8)])
def test_the_candidate_model_of_400_lesions_and_400_false_candidates(area, b, share):
    shares, degenerate = coverage.candidate_model_coverage(coverage.Truth(area, b), 400, draws=2000, share=share)
    assert promised(shares), shares
    assert degenerate == 0


def test_the_bootstrap_of_froc_curves_of_100_patients():
    *shares, of_difference = coverage.froc_bootstrap_coverage(100, draws=2000)
    assert len(shares) == 3
    assert promised(shares), shares
    assert of_difference >= 0.93  # of two step functions: with so few patients it errs to the wide side


def test_the_simulation_notices_intervals_that_are_wrong(monkeypatch):
    """Intervals of 90 %, and the patients' bootstrap without the patients."""
    monkeypatch.setattr(coverage, "auc", lambda *case: auc(*case, level=0.9))
    assert 0.88 < coverage.delong_coverage(coverage.Truth(0.75), 400, draws=2000) < 0.92
    monkeypatch.setattr(
        coverage, "bootstrap", lambda statistic, rows, **how: bootstrap(statistic, range(len(rows)), **how)
    )
    shares = coverage.bootstrap_coverage(100, draws=500)
    assert shares["mean error"][0] < 0.93  # the two regions of a patient are not independent
    assert shares["TPR at 10 % FPR"][0] > 0.97  # and its two frames, one of each class, err to the same side


def test_the_simulation_notices_a_band_of_90_percent(monkeypatch):
    at = CandidateModel.at
    monkeypatch.setattr(CandidateModel, "at", lambda model, fp: at(model, fp, level=0.9))
    shares, _ = coverage.candidate_model_coverage(coverage.Truth(0.85), 400, draws=1000)
    assert all(0.87 < share < 0.93 for share in shares)


def test_the_tool_prints_its_tables():
    command = [sys.executable, ROOT / "tools" / "interval_coverage.py", "--draws=3", "--quick"]
    printed = subprocess.run(command, capture_output=True, text=True, check=True, timeout=120).stdout
    rows = [line.strip("| ").split(" | ") for line in printed.splitlines() if line[:2] == "| " and line[2].isdigit()]
    assert [row[:2] for row in rows[:3]] == [["400", "0.75"], ["400", "0.85"], ["400", "0.95"]]
    assert [row[1] for row in rows[3:8]] == list(coverage.bootstrap_coverage(100, draws=1))
    assert [row[:2] for row in rows[8:11]] == [["400", "0.75"], ["400", "0.85"], ["400", "0.95"]]
    assert [len(row) for row in rows[11:]] == [1 + len(coverage.FROC_QUANTITIES)]
    assert all(0 <= float(share) <= 100 for row in rows for cell in row[2:] for share in cell.split(","))
