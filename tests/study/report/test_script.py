"""Sorting and copying in a real browser: the page is opened with a script that clicks and writes down what happened."""

from __future__ import annotations

import csv
import html
import io
import json
import re
import shutil
import subprocess

import pytest

from caffe_port.study.report import write_report, write_whole_report
from tests.study.report.runs import interfaces_run

BROWSER = shutil.which("chromium") or shutil.which("chromium-browser") or shutil.which("google-chrome")
QUIET = [
    *("--headless", "--no-sandbox", "--disable-gpu", "--disable-quic", "--no-first-run", "--disable-sync"),
    *("--disable-background-networking", "--disable-component-update", "--dump-dom"),
]

CLICKS = """
const figure = document.querySelector("#results-table");
const heads = figure.querySelectorAll("thead button");
const column = () => [...figure.querySelectorAll("tbody tr")].map((row) => row.cells[3].textContent);
const arms = () => [...figure.querySelectorAll("tbody tr")].map((row) => row.cells[0].textContent);
const seen = { before: column() };
heads[3].click(); seen.up = column(); seen.sort = heads[3].parentNode.getAttribute("aria-sort");
heads[3].click(); seen.down = column();
heads[0].click(); seen.names = arms(); seen.left = heads[3].parentNode.getAttribute("aria-sort");
document.execCommand = () => { seen.csv = document.activeElement.value; return true; };
figure.querySelector("button.copy").click(); seen.label = figure.querySelector("button.copy").textContent;
const pre = document.createElement("pre"); pre.id = "seen"; pre.textContent = JSON.stringify(seen);
document.body.append(pre);
"""


COPY = """
document.execCommand = () => { seen.csv = document.activeElement.value; return true; };
const seen = {};
document.querySelector("#depths-table button.copy").click();
seen.wide = document.documentElement.scrollWidth - document.documentElement.clientWidth;
const pre = document.createElement("pre"); pre.id = "seen"; pre.textContent = JSON.stringify(seen);
document.body.append(pre);
"""
needs_browser = pytest.mark.skipif(BROWSER is None, reason="no chromium is here")


def run_in_browser(path, script, folder):
    """Open the page with a script at its end, and give what the script wrote down."""
    path.write_text(path.read_text().replace("</body>", f"<script>{script}</script></body>"))
    command = [BROWSER, *QUIET, f"--user-data-dir={folder / 'profile'}", path.as_uri()]
    dom = subprocess.run(command, capture_output=True, text=True, timeout=120, check=True).stdout
    return json.loads(html.unescape(re.search(r'<pre id="seen">(.*?)</pre>', dom, re.DOTALL)[1]))


@needs_browser
def test_clicks(tmp_path):
    path = write_report(interfaces_run(tmp_path))
    metrics = json.loads((tmp_path / "metrics.json").read_text())
    seen = run_in_browser(path, CLICKS, tmp_path)

    assert seen["before"] != seen["up"] == sorted(seen["before"])
    assert seen["down"] == seen["up"][::-1]
    assert seen["sort"] == "ascending"
    assert seen["names"] == sorted(seen["names"], key=str.lower)
    assert seen["left"] is None
    assert seen["label"] == "Copied"

    table = list(csv.reader(io.StringIO(seen["csv"])))
    assert table[0][:3] == ["Arm", "Lumen-intima error, mm mean", "Lumen-intima error, mm sd"]
    assert len(table) == 1 + 5
    by_arm = {row[0]: row for row in table[1:]}
    error = metrics["arms"]["scratch"]["imt_error_mm"]
    assert [float(value) for value in by_arm["scratch"][5:7]] == [error["mean"], error["sd"]]


@needs_browser
def test_the_page_of_the_study_copies_names_and_numbers_and_fits_the_window(tmp_path):
    interfaces_run(tmp_path / "interfaces")
    seen = run_in_browser(write_whole_report(tmp_path), COPY, tmp_path)
    heads, row = csv.reader(io.StringIO(seen["csv"]))
    table = dict(zip(heads, row, strict=True))
    error = json.loads((tmp_path / "interfaces" / "metrics.json").read_text())["arms"]["conv1-ip1"]["imt_error_mm"]
    assert table["Best depth name"] == "FT: conv1-ip1"
    assert float(table["Best depth"]) == error["mean"]
    assert float(table["Best depth low"]) < error["mean"] < float(table["Best depth high"])
    assert seen["wide"] == 0
