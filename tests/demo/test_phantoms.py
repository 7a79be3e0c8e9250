"""Phantoms: images with known interfaces, in a layout that the study's own loader reads."""

from __future__ import annotations

import numpy as np
import pytest

from caffe_port import rng
from caffe_port.demo.phantoms import HEIGHT, MM_PER_PIXEL, WIDTH, Artery, write_phantoms
from caffe_port.errors import DataError
from caffe_port.study.interfaces.loaders import detect_dataset, load_cyprus
from caffe_port.study.interfaces.traces import traces_of
from caffe_port.study.procedural import NOTE, PREFIX


@pytest.mark.parametrize("exam", range(6))
def test_interfaces_lie_in_the_image_and_apart(exam):
    phantom = Artery.of_exam(0, exam).scan(rng.numpy_generator("test", exam))
    assert phantom.image.shape == (HEIGHT, WIDTH)
    assert phantom.image.dtype == np.uint8
    assert phantom.li.min() > 60
    assert phantom.ma.max() < HEIGHT - 5
    thickness = (phantom.ma - phantom.li) * MM_PER_PIXEL
    assert thickness.min() > 0.4
    assert thickness.max() < 2.0


def test_the_adventitia_is_bright_and_the_lumen_dark():
    rows = np.arange(HEIGHT)[:, None]
    for exam in range(6):
        phantom = Artery.of_exam(0, exam).scan(rng.numpy_generator("test", exam))
        lumen = phantom.image[(rows > phantom.li - 50) & (rows < phantom.li - 20)]
        adventitia = phantom.image[(rows >= phantom.ma) & (rows < phantom.ma + 5)]
        assert adventitia.mean() > lumen.mean() + 60


def test_phantoms_of_an_exam_share_the_artery_not_the_image():
    artery = Artery.of_exam(0, 3)
    one, other = (artery.scan(rng.numpy_generator("test", n)) for n in range(2))
    assert Artery.of_exam(0, 3) == artery != Artery.of_exam(1, 3)
    assert (one.image != other.image).mean() > 0.9
    np.testing.assert_array_equal(one.image, artery.scan(rng.numpy_generator("test", 0)).image)


def test_the_loader_reads_what_was_written(tmp_path):
    write_phantoms(tmp_path / "data", exams=3, images=2, seed=4)
    assert detect_dataset(tmp_path / "data") == "cyprus"
    cases = load_cyprus(tmp_path / "data")
    assert [case.id for case in cases] == [f"{PREFIX}_{exam:02d}_{n}" for exam in range(3) for n in range(2)]
    assert [case.patient for case in cases] == [f"{PREFIX}_{exam:02d}" for exam in range(3) for n in range(2)]
    assert {case.info["mm"] for case in cases} == {MM_PER_PIXEL}
    truth = Artery.of_exam(4, 2).scan(rng.numpy_generator(PREFIX, 4, 2, 1))
    traces = traces_of(cases[-1].info["li"], cases[-1].info["ma"])
    # The points are exact; between them the curve is interpolated.
    np.testing.assert_allclose(traces.li[::10], truth.li[traces.columns][::10])
    np.testing.assert_allclose(traces.ma, truth.ma[traces.columns], atol=0.7)
    assert "no evidence" in (tmp_path / "data" / NOTE).read_text()


def test_a_place_that_is_a_file(tmp_path):
    (tmp_path / "a").write_text("precious")
    with pytest.raises(DataError, match="cannot be made"):
        write_phantoms(tmp_path / "a", 1, 1)
