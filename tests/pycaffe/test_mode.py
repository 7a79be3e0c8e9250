"""The functions of the module: log, stop watch, places of processes, list of layers."""

from __future__ import annotations

import time

import pytest

from caffe_port import pycaffe as caffe
from caffe_port.errors import CaffeError
from caffe_port.layers import layer_types
from caffe_port.log import log


def test_layer_type_list():
    listed = list(caffe.layer_type_list())
    assert listed == sorted(layer_types())
    assert {"Data", "Convolution", "InnerProduct", "Python"} <= set(listed)


def test_log(capsys, monkeypatch):
    monkeypatch.setattr(log, "handlers", list(log.handlers))
    monkeypatch.setattr(log, "level", log.level)
    caffe.init_log()
    caffe.init_log(-1)  # the least of all, and not twice
    caffe.log("100 % done")
    (line,) = capsys.readouterr().err.splitlines()
    assert line[0] == "I"
    assert line.endswith("] 100 % done")
    caffe.init_log(1, True)
    caffe.log("quiet")
    caffe.init_log(0, False)
    caffe.log("quiet")
    assert capsys.readouterr().err == ""


@pytest.mark.parametrize("setting", [caffe.set_random_seed, caffe.set_device])
def test_settings_that_are_no_integers(setting):
    """As Boost.Python says it in Caffe, at once and not when a net is made."""
    for value in ("1", 1.5, None):
        with pytest.raises(TypeError):
            setting(value)


def test_timer():
    timer = caffe.Timer()
    assert timer.ms == 0
    timer.start()
    time.sleep(0.03)
    timer.start()  # it runs already
    timer.stop()
    first = timer.ms
    assert 30 <= first < 3000
    timer.stop()
    assert timer.ms == first
    timer.start()
    assert timer.ms < first


def test_solver_ranks(monkeypatch):
    monkeypatch.setattr(caffe.mode, "_rank", 0)
    monkeypatch.setattr(caffe.mode, "_count", 1)
    assert (caffe.solver_rank(), caffe.solver_count()) == (0, 1)
    caffe.set_solver_rank(2)
    caffe.set_multiprocess(True)
    with pytest.raises(CaffeError, match="Solver rank 2 of 1"):
        caffe.mode.ranks()
    caffe.set_solver_count(3)
    assert (caffe.solver_rank(), caffe.solver_count()) == (2, 3)
    assert (caffe.mode.ranks().rank, caffe.mode.ranks().world, caffe.mode.ranks().first) == (2, 3, False)
