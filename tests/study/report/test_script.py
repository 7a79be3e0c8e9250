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

from caffe_port.study.report import write_report
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


@pytest.mark.skipif(BROWSER is None, reason="no chromium is here")
def test_clicks(tmp_path):
    path = write_report(interfaces_run(tmp_path))
    metrics = json.loads((tmp_path / "metrics.json").read_text())
    path.write_text(path.read_text().replace("</body>", f"<script>{CLICKS}</script></body>"))
    command = [BROWSER, *QUIET, f"--user-data-dir={tmp_path / 'profile'}", path.as_uri()]
    dom = subprocess.run(command, capture_output=True, text=True, timeout=120, check=True).stdout
    seen = json.loads(html.unescape(re.search(r'<pre id="seen">(.*?)</pre>', dom, re.DOTALL)[1]))

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
