"""``caffe-port demo`` as a user runs it, once, whole."""

from __future__ import annotations

import re
import shlex

import cv2
import pytest

from caffe_port.cli.main import group
from caffe_port.data.database import open_database
from caffe_port.demo.run import FINETUNE, PLOT, SHEET, TASK
from caffe_port.logs import read_log
from tests.cli.process import Here, caffe_port, error_line


@pytest.fixture(scope="module")
def demo(tmp_path_factory):
    """The folder, and what the command wrote."""
    place = tmp_path_factory.mktemp("demo")
    result = caffe_port("demo", "--out", "my demo", cwd=place)
    assert result.returncode == 0, result.stderr[-2000:]
    return place / "my demo", result


def percentages(text):
    return [float(number) / 100 for number in re.findall(r"(?:scratch|fine-tuned): (\d+\.\d)%", text)]


def test_accuracy(demo):
    first, second = percentages(demo[1].stdout)
    assert first > 0.9
    assert second > 0.7


def test_databases(demo):
    for task in (TASK, FINETUNE):
        for name, count in task.databases.items():
            assert len(open_database(demo[0] / name, "LMDB")) == count


@pytest.mark.parametrize("task", [TASK, FINETUNE], ids=lambda task: task.name)
def test_log(demo, task):
    folder, result = demo
    log = read_log(folder / task.log)
    last = log.test[-1]
    assert log.train[-1].iteration == last.iteration == int(re.search(r"_iter_(\d+)", task.weights)[1])
    assert log.train[-1].loss < log.train[0].loss / 3
    # As in Caffe, the last displayed loss is of one more training pass, after the snapshot and before this test: it
    # moves BatchNorm's statistics a little.
    assert last.outputs["accuracy"] == pytest.approx(percentages(result.stdout)[task is FINETUNE], abs=0.01)
    lines = (folder / task.log).read_text().splitlines()
    assert set(lines) <= set(result.stderr.splitlines())
    assert sum("Snapshotting to binary proto file" in line for line in lines) == (2 if task is TASK else 1)


def test_fine_tuning_loads_all_layers_but_the_last(demo):
    text = (demo[0] / FINETUNE.log).read_text()
    assert f"Finetuning from {TASK.weights}" in text
    assert "Ignoring source layer ip\n" in text
    assert not re.search(r"Ignoring source layer (conv|bn|scale)", text)


def test_pictures(demo):
    for name in (PLOT, SHEET):
        assert cv2.imread(str(demo[0] / name)).std() > 10


def test_no_bar_without_a_terminal(demo):
    assert "\r" not in demo[1].stdout + demo[1].stderr
    assert "it/s" not in demo[1].stderr


def test_what_to_try_next(demo):
    folder, result = demo
    place, *commands = [
        shlex.split(line, comments=True) for line in result.stdout.split("Try next:\n")[1].splitlines() if line.strip()
    ]
    assert place == ["cd", "my demo"]
    assert str(folder.resolve()) in result.stdout
    assert {words[1] for words in commands} == {"test", "train"}
    for program, name, *arguments in commands:
        assert program == "caffe-port"
        command = group.get_command(None, name)
        given = command.make_context(name, list(arguments)).params
        files = [given[key] for key in ("solver", "snapshot", "model", "weights") if given.get(key)]
        assert files
        assert all((folder / file).is_file() for file in files)
    test = next(words for words in commands if words[1] == "test")
    scored = caffe_port(*test[1:], cwd=folder)
    assert scored.returncode == 0
    accuracy = float(re.findall(r"\] accuracy = (\S+)", scored.stdout + scored.stderr)[-1])
    assert accuracy == pytest.approx(percentages(result.stdout)[0], abs=0.0006)


def test_folder_of_something_else(tmp_path, monkeypatch, capsys):
    (tmp_path / "thesis.tex").write_text("precious")
    assert "not empty" in error_line(Here(monkeypatch, capsys)("demo", "--out", ".", cwd=tmp_path))
