"""Running ``caffe-port`` as a user does: in a process of its own."""

from __future__ import annotations

import os
import re
import subprocess
import sys
from pathlib import Path

import pytest

from caffe_port.cli.main import main
from tests.shared import ROOT

ENVIRONMENT = {**os.environ, "PYTHONPATH": str(ROOT), "OMP_NUM_THREADS": "1", "CUDA_VISIBLE_DEVICES": ""}


def command(*arguments: object) -> list[str]:
    """The command line of ``caffe-port`` with these arguments."""
    return [sys.executable, "-m", "caffe_port", *map(str, arguments)]


def caffe_port(*arguments: object, cwd: Path, timeout: float = 600) -> subprocess.CompletedProcess[str]:
    """Run ``caffe-port`` in the folder ``cwd`` on the CPU, for ``timeout`` seconds at most."""
    return subprocess.run(
        command(*arguments), cwd=cwd, env=ENVIRONMENT, capture_output=True, text=True, timeout=timeout, check=False
    )


class Here:
    """``caffe-port`` inside this process, which is faster: the program's entry with these arguments."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
        self.monkeypatch, self.capsys = monkeypatch, capsys

    def __call__(self, *arguments: object, cwd: Path) -> subprocess.CompletedProcess[str]:
        """As :func:`caffe_port`."""
        argv = ["caffe-port", *map(str, arguments)]
        self.monkeypatch.chdir(cwd)
        self.monkeypatch.setattr(sys, "argv", argv)
        self.capsys.readouterr()
        with pytest.raises(SystemExit) as ended:
            main()
        out, err = self.capsys.readouterr()
        return subprocess.CompletedProcess(argv, int(ended.value.code or 0), out, err)


def messages(text: str) -> list[str]:
    """The messages of the glog lines in ``text``, without time, thread and place."""
    return re.findall(r"^[IWEF]\d{4} \d\d:\d\d:\d\d\.\d{6} +\d+ [^\]]+\] (.*)$", text, re.MULTILINE)


def error_line(result: subprocess.CompletedProcess[str]) -> str:
    """The message of a run that failed as it should: status 1, one line on standard error at the end, no traceback."""
    assert result.returncode == 1, result.stderr[-2000:]
    assert "Traceback" not in result.stderr
    (line,) = re.findall(r"^caffe-port: error: (.*)$", result.stderr, re.MULTILINE)
    assert result.stderr.endswith(f"caffe-port: error: {line}\n"), result.stderr[-2000:]
    return line
