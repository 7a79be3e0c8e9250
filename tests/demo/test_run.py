"""The demo's folder: what it takes over, what it refuses. A whole run is in tests/cli/test_demo.py."""

from __future__ import annotations

from pathlib import Path

import pytest

from caffe_port import resources
from caffe_port.demo import run_demo
from caffe_port.demo.images import SHAPES, SIZE
from caffe_port.demo.run import ARMS, BASE, NET, PHANTOMS, SHAPE_IMAGES, SOLVER, STUDY, TEST_BATCH, WEIGHTS
from caffe_port.errors import CaffeError
from caffe_port.proto.files import read_net, read_solver


class Enough(Exception):
    """Ends a demo once its folder is prepared."""


def prepare(folder):
    def stop(text):
        raise Enough

    before = Path.cwd()
    with pytest.raises(Enough):
        run_demo(folder, announce=stop)
    assert Path.cwd() == before


def test_the_base_is_what_its_files_say():
    net = read_net(resources.prototxt(f"demo/{NET}"))
    solver = read_solver(resources.prototxt(f"demo/{SOLVER}"))
    data = [layer for layer in net.layer if layer.type == "Data"]
    learnable = [layer.name for layer in net.layer if layer.type in ("Convolution", "InnerProduct")]
    assert solver.net == NET
    assert [layer.data_param.source for layer in data] == list(SHAPE_IMAGES)
    assert {layer.transform_param.crop_size for layer in data} == {SIZE}
    assert data[1].data_param.batch_size == TEST_BATCH
    assert solver.test_iter[0] * TEST_BATCH == SHAPE_IMAGES["shapes_test_lmdb"]
    assert net.layer[-3].inner_product_param.num_output == len(SHAPES)
    assert f"{solver.snapshot_prefix}_iter_{solver.max_iter}.caffemodel" == WEIGHTS
    assert solver.random_seed >= 0
    assert [arm for arm in ARMS if arm != "scratch"] == ["conv1-ip", "conv3-ip", "ip"]
    assert learnable == ["conv1", "conv2", "conv3", "ip"]


@pytest.mark.parametrize("exists", [False, True])
def test_new_or_empty_folder(tmp_path, exists):
    folder = tmp_path / "a" / "b"
    if exists:
        folder.mkdir(parents=True)
    prepare(folder)
    names = {str(path.relative_to(folder)) for path in folder.rglob("*") if path.is_file()}
    assert names == {"README.md", f"{BASE}/{NET}", f"{BASE}/{SOLVER}"}


def test_former_demo_keeps_what_is_not_its_own(tmp_path):
    prepare(tmp_path)
    (tmp_path / "mine.prototxt").write_text("mine")
    (tmp_path / BASE / SOLVER).write_text("changed")
    for room in (PHANTOMS, STUDY):
        (tmp_path / room).mkdir()
    prepare(tmp_path)
    assert (tmp_path / "mine.prototxt").read_text() == "mine"
    assert (tmp_path / BASE / SOLVER).read_bytes() == resources.prototxt(f"demo/{SOLVER}").read_bytes()
    assert not any((tmp_path / room).exists() for room in (PHANTOMS, STUDY))


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
