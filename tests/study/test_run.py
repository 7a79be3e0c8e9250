"""Folders of runs: begun, gone on with, and refused."""

from __future__ import annotations

import dataclasses

import pytest

from caffe_port import Net
from caffe_port.errors import CaffeWarning, StudyError, WeightsError
from caffe_port.study.base import open_base
from caffe_port.study.run import Study
from caffe_port.study.settings import read_settings
from tests.study.tiny import APPLICATION, BASE


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("seed", 2),
        ("training.epochs", 4),
        ("training.base_lr", 0.5),
        ("app.windows", 4),
        ("base.mean", [3.0]),
        ("arms.list", ["scratch"]),
        ("arms.reduce_by", "case"),
        ("data.dataset", "other"),
    ],
)
def test_other_settings_are_refused_by_name(make_settings, tmp_path, name, value):
    settings = make_settings()
    Study.open(tmp_path / "run", settings)
    with pytest.raises(StudyError, match=rf"study.toml: This run has {name} = .*, not .*new folder") as error:
        Study.open(tmp_path / "run", settings.changed(name, value))
    assert repr(value) in str(error.value)
    Study.open(tmp_path / "run", settings)


def test_other_software_is_warned_of(make_settings, tmp_path):
    settings = make_settings()
    study = Study.open(tmp_path / "run", settings)
    older = dataclasses.replace(settings, versions={**settings.versions, "torch": "1.0"})
    older.write(study.folder.settings)
    with pytest.warns(CaffeWarning, match="began with torch 1.0"):
        Study.open(tmp_path / "run", settings)


def test_a_folder_of_something_else(make_settings, tmp_path):
    (tmp_path / "run").mkdir()
    (tmp_path / "run" / "thesis.doc").write_text("")
    with pytest.raises(StudyError, match="not empty and holds no study"):
        Study.open(tmp_path / "run", make_settings())
    with pytest.raises(StudyError, match="not empty and holds no study"):
        Study.open(tmp_path / "run" / "thesis.doc", make_settings())
    assert [path.name for path in (tmp_path / "run").iterdir()] == ["thesis.doc"]


def test_nothing_is_begun_with_weights_of_another_net(make_settings, material, tmp_path):
    net = tmp_path / "other.prototxt"
    net.write_text(BASE.replace("num_output: 6", "num_output: 5"))
    Net(net, seed=1).save(tmp_path / "other.caffemodel")
    base = open_base(str(material / "tiny.prototxt"), str(tmp_path / "other.caffemodel"))
    settings = dataclasses.replace(make_settings(), base=base)
    with pytest.raises(WeightsError, match="conv1"):
        Study.open(tmp_path / "run", settings)
    assert not (tmp_path / "run").exists()


def test_scratch_needs_no_weights(make_settings, material, tmp_path):
    settings = dataclasses.replace(
        make_settings(arms=("scratch",)), base=open_base(str(material / "tiny.prototxt"), None)
    )
    study = Study.open(tmp_path / "run", settings)
    study.prepare()
    assert list(study.train()) == ["scratch"]
    with pytest.raises(StudyError, match="need weights"):
        Study.open(tmp_path / "other", settings.changed("arms.list", ["ip1"]))


def test_arms_may_be_added_to_the_file(make_settings, tmp_path):
    study = Study.open(tmp_path / "run", make_settings())
    study.prepare()
    study.train()
    text = study.folder.settings.read_text().replace('list = ["ip1"]', 'list = ["ip1", "scratch", "ip1@0.5"]')
    study.folder.settings.write_text(text)
    before = (study.folder.arm("ip1") / "best.caffemodel").stat().st_mtime_ns
    more = Study.open(tmp_path / "run", read_settings(study.folder.settings, APPLICATION))
    more.prepare()
    more.train()
    assert list(more.evaluate()["arms"]) == ["ip1", "scratch", "ip1@0.5"]
    assert (study.folder.arm("ip1") / "best.caffemodel").stat().st_mtime_ns == before


def test_some_arms_only(make_settings, tmp_path):
    Study.open(tmp_path / "run", make_settings(arms=("ip1", "scratch")))
    study = Study.open(tmp_path / "run", make_settings(arms=("ip1", "scratch")), ["scratch"])
    study.prepare()
    assert list(study.train()) == ["scratch"]
    assert list(study.evaluate()["arms"]) == ["scratch"]
