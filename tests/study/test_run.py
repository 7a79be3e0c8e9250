"""Folders of runs: begun, gone on with, and refused."""

from __future__ import annotations

import dataclasses

import pytest

from caffe_port import Net
from caffe_port.errors import CaffeWarning, DataError, StudyError, WeightsError
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


@pytest.mark.parametrize("part", ["train", "test"])
def test_a_folder_among_the_images(make_settings, material, tmp_path, part):
    settings = make_settings()
    (tmp_path / "link").symlink_to(material / "data")
    if part == "test":
        settings = settings.changed("data.test", str(material / "data3"))
    inside = {"train": tmp_path / "link", "test": material / "data3"}[part]
    with pytest.raises(StudyError, match="lies within the data"):
        Study.open(inside / "run", settings)
    assert not (inside / "run").exists()


def test_nothing_is_begun_with_weights_of_another_net(make_settings, material, tmp_path):
    net = tmp_path / "other.prototxt"
    net.write_text(BASE.replace("num_output: 6", "num_output: 5"))
    Net(net, seed=1).save(tmp_path / "other.caffemodel")
    base = open_base(str(material / "tiny.prototxt"), str(tmp_path / "other.caffemodel"))
    settings = dataclasses.replace(make_settings(), base=base)
    with pytest.raises(WeightsError, match="conv1"):
        Study.open(tmp_path / "run", settings)
    assert not (tmp_path / "run").exists()


def test_nothing_is_begun_with_a_net_that_gives_a_map_of_scores(make_settings, tmp_path):
    net = tmp_path / "map.prototxt"
    net.write_text(BASE[: BASE.index('layer { name: "ip1"')])
    Net(net, seed=1).save(tmp_path / "map.caffemodel")
    settings = dataclasses.replace(make_settings(), base=open_base(str(net), str(tmp_path / "map.caffemodel")))
    settings = settings.changed("arms.list", ["conv2"])
    with pytest.raises(StudyError, match=r"map\.prototxt: gives scores of shape \(1, 2, 3, 3\).* 12 x 12 pixels"):
        Study.open(tmp_path / "run", settings)
    study = Study.open(tmp_path / "run", settings.changed("base.size", [8, 8]))
    study.prepare()
    assert list(study.train()) == ["conv2"], "a convolution may be the last layer"


def test_one_process_at_a_time(make_study, make_settings, tmp_path):
    study = make_study()
    with study.folder.locked():
        for stage in (study.prepare, study.train, study.evaluate):
            with pytest.raises(StudyError, match=r"run: is in use: another process works on this run"):
                stage()
    study.train()


def test_a_run_whose_preparation_fails_can_be_begun_otherwise(make_settings, tmp_path):
    """But only as long as nothing is made."""
    (tmp_path / "run").mkdir()
    without = make_settings(app_settings={"windows": 0})
    with pytest.raises(DataError, match="none of across"):
        Study.open(tmp_path / "run", without).prepare()
    study = Study.open(tmp_path / "run", make_settings(arms=("ip1", "ip1@0.5")))
    arms, study.arms = study.arms, study.arms[:1]
    study.prepare()
    study.arms, study.settings = arms, study.settings.changed("data.train", str(tmp_path))
    with pytest.raises(DataError, match="holds no stripes"):
        study.prepare()
    assert study.folder.settings.exists()


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
