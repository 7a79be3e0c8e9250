"""Runs of the tiny application."""

from __future__ import annotations

import pytest

from caffe_port.study import applications
from caffe_port.study.arms import arms_of
from caffe_port.study.base import open_base
from caffe_port.study.run import Study
from caffe_port.study.settings import ArmChoice, Data, Settings, Training
from tests.study import dots, tiny


@pytest.fixture(autouse=True)
def known_applications(monkeypatch):
    """The tiny applications, beside those of the package."""
    monkeypatch.setitem(applications.APPLICATIONS, "tiny", "tests.study.tiny")
    monkeypatch.setitem(applications.APPLICATIONS, "tiny3", "tests.study.tiny3")
    monkeypatch.setitem(applications.APPLICATIONS, "dots", "tests.study.dots")


@pytest.fixture(scope="session")
def material(tmp_path_factory):
    """A folder with data (``data`` of two classes, ``data3`` of three, ``dots`` to be detected) and a base net."""
    folder = tmp_path_factory.mktemp("tiny")
    tiny.write_data(folder / "data")
    tiny.write_data(folder / "data3", classes=3)
    dots.write_frames(folder / "dots")
    tiny.write_base(folder)
    return folder


@pytest.fixture
def make_settings(material):
    """Settings of a run on the material, with the training parameters and arms given."""

    def make(app=tiny.APPLICATION, arms=("ip1",), seed=1, data="data", app_settings=None, **training):
        base = open_base(str(material / "tiny.prototxt"), str(material / "tiny.caffemodel"), mean="128", scale=0.02)
        training = {"base_lr": 0.01, "batch_size": 16, "epochs": 3, **training}
        names = tuple(arm.name for arm in arms_of(base.body(), arms, ["gaussian"], [1.0], 1))
        return Settings(
            app.name,
            seed,
            Data(str(material / data), dataset=next(iter(app.datasets))),
            base,
            ArmChoice(names, app.reduce_by),
            Training(**training),
            {**app.defaults, **(app_settings or {})},
        )

    return make


@pytest.fixture
def make_study(make_settings, tmp_path):
    """A prepared run in ``tmp_path / "run"`` (or another name)."""

    def make(name="run", how=None, **settings):
        study = Study.open(tmp_path / name, make_settings(**settings), **(how or {}))
        study.prepare()
        return study

    return make
