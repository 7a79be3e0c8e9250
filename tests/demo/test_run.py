"""The demo's folder: what it takes over, what it refuses. A whole run is in tests/cli/test_demo.py."""

from __future__ import annotations

from pathlib import Path

import pytest

from caffe_port import resources
from caffe_port.demo import run_demo
from caffe_port.demo.run import FINETUNE, TASK
from caffe_port.errors import CaffeError
from caffe_port.proto.files import read_net, read_solver


class Enough(Exception):
    """Ends a demo once its folder is prepared."""


def prepare(folder):
    def stop(text):
        assert Path.cwd() == folder
        raise Enough

    before = Path.cwd()
    with pytest.raises(Enough):
        run_demo(folder, announce=stop)
    assert Path.cwd() == before


@pytest.mark.parametrize("task", [TASK, FINETUNE], ids=lambda task: task.name)
def test_the_task_is_what_its_files_say(task):
    net = read_net(resources.prototxt(f"demo/{task.net}"))
    solver = read_solver(resources.prototxt(f"demo/{task.solver}"))
    data = [layer.data_param for layer in net.layer if layer.type == "Data"]
    (last,) = [layer for layer in net.layer if layer.type == "InnerProduct"]
    assert solver.net == task.net
    assert [param.source for param in data] == list(task.databases)
    assert data[1].batch_size == task.BATCH
    assert list(solver.test_iter) == [task.test_iterations]
    assert solver.test_iter[0] * data[1].batch_size == task.test
    assert last.inner_product_param.num_output == len(task.shapes)
    assert task.chance == 1 / last.inner_product_param.num_output
    assert task.weights == f"{solver.snapshot_prefix}_iter_{solver.max_iter}.caffemodel"
    assert solver.random_seed >= 0


def test_only_the_last_layer_is_new_and_it_learns_ten_times_as_fast():
    old, new = (read_net(resources.prototxt(f"demo/{task.net}")).layer for task in (TASK, FINETUNE))
    learnable = ("Convolution", "BatchNorm", "Scale", "InnerProduct")
    old, new = ([layer for layer in layers if layer.type in learnable] for layers in (old, new))
    assert old[:-1] == new[:-1]
    assert old[-1].name != new[-1].name
    assert [p.lr_mult for p in new[-1].param] == [10 * p.lr_mult for p in old[-1].param]
    assert FINETUNE.start == TASK.weights


@pytest.mark.parametrize("exists", [False, True])
def test_new_or_empty_folder(tmp_path, exists):
    folder = tmp_path / "a" / "b"
    if exists:
        folder.mkdir(parents=True)
    prepare(folder)
    names = {path.name for path in folder.iterdir()}
    assert names == {"README.md", TASK.net, TASK.solver, FINETUNE.net, FINETUNE.solver}


def test_former_demo_keeps_what_is_not_its_own(tmp_path):
    prepare(tmp_path)
    (tmp_path / "mine.prototxt").write_text("mine")
    (tmp_path / TASK.solver).write_text("changed")
    for database in TASK.databases:
        (tmp_path / database).mkdir()
    prepare(tmp_path)
    assert (tmp_path / "mine.prototxt").read_text() == "mine"
    assert (tmp_path / TASK.solver).read_bytes() == resources.prototxt(f"demo/{TASK.solver}").read_bytes()
    assert not any((tmp_path / database).exists() for database in TASK.databases)


@pytest.mark.parametrize("name", ["thesis.tex", "README.md"])
def test_folder_of_something_else(tmp_path, name):
    (tmp_path / name).write_text("precious")
    with pytest.raises(CaffeError, match=r"not empty and holds no former demo.*Choose"):
        run_demo(tmp_path)
    assert [path.name for path in tmp_path.iterdir()] == [name]
    assert (tmp_path / name).read_text() == "precious"


def test_file(tmp_path):
    (tmp_path / "a").write_text("precious")
    with pytest.raises(CaffeError, match="is a file"):
        run_demo(tmp_path / "a")
    assert (tmp_path / "a").read_text() == "precious"
