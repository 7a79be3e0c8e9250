"""study.toml: written and read back, and refused where it says what it should not."""

from __future__ import annotations

import dataclasses

import pytest

from caffe_port.errors import FormatError, StudyError
from caffe_port.study.settings import read_settings, settings_of
from tests.study.tiny import APPLICATION


@pytest.fixture
def written(make_settings, tmp_path):
    path = tmp_path / "study.toml"
    make_settings().write(path)
    return path


def test_what_is_written_is_read_back(make_settings, tmp_path):
    settings = make_settings(arms=("scratch+xavier", "conv2-ip1@0.1~3"), base_lr=1e-05, mirror=True, seed=2**31 - 1)
    text = 'a "name" \\ with\ttabs, é and \x7f'
    settings = dataclasses.replace(settings, data=dataclasses.replace(settings.data, dataset=text))
    settings.write(tmp_path / "study.toml")
    assert read_settings(tmp_path / "study.toml", APPLICATION) == settings


def test_the_file_is_for_people(written):
    lines = written.read_text().splitlines()
    for line in ('application = "tiny"', "[training]", "gamma = 0.95", "momentum = 0.9", "[app]", "[versions]"):
        assert line in lines


@pytest.mark.parametrize(
    ("old", "new", "cause"),
    [
        ("momentum = 0.9", "momentun = 0.9", r"Unknown setting 'training.momentun'"),
        ("seed = 1", "seed = 1\nsead = 2", "Unknown setting 'sead'"),
        ("windows = 3", "window = 3", "Unknown setting 'app.window'"),
        ("windows = 3", "windows = true", "app.windows is True"),
        ("windows = 3", 'windows = "3"', "app.windows is '3'"),
        ("epochs = 3", "epochs = 3.5", "training.epochs is 3.5"),
        ("epochs = 3", "epochs = 0", "training.epochs is 0"),
        ("mirror = false", "mirror = 0", "training.mirror is 0"),
        ("gamma = 0.95", "gamma = nan", "training.gamma is nan"),
        ("validation = 0.2", "validation = 1.0", "training.validation is 1.0"),
        ("size = [12, 12]", "size = [12]", "base.size"),
        ("scale = 0.02", "scale = 0", "base.scale is 0"),
        ("mean = [128.0]", "mean = [nan]", "base.mean"),
        ("keep = 1.0", "keep = inf", "app.keep is inf"),
        ("size = [12, 12]", "size = 12", "base.size is 12.*must be a list"),
        ("mean = [128.0]", "mean = [1.0, 2.0]", "base.mean"),
        ('list = ["ip1"]', "list = []", "arms.list"),
        ('list = ["ip1"]\n', "", "missing: 'arms.list'"),
        ('reduce_by = "patient"', 'reduce_by = "chance"', "arms.reduce_by is chance"),
        ("[training]", "[[training]]", "'training' is"),
        ("seed = 1", "seed = -1", "seed is -1"),
        ('application = "tiny"', 'application = "frames"', "run of the application 'frames'"),
    ],
)
def test_what_does_not_belong_is_refused(written, old, new, cause):
    text = written.read_text()
    assert text.count(old) == 1
    written.write_text(text.replace(old, new))
    with pytest.raises(StudyError, match=cause) as error:
        read_settings(written, APPLICATION)
    assert str(error.value).startswith(f"{written}: ")


def test_damaged_and_absent_files(written, tmp_path):
    with pytest.raises(StudyError, match="holds no study"):
        read_settings(tmp_path / "none.toml", APPLICATION)
    written.write_text("seed = \n")
    with pytest.raises(FormatError, match=r"study\.toml:1:8: is not TOML.*new folder"):
        read_settings(written, APPLICATION)
    written.write_bytes(b"\xff\xfe\x00")
    with pytest.raises(FormatError, match=r"not UTF-8.*new folder"):
        read_settings(written, APPLICATION)


def test_left_out_settings_have_their_defaults(make_settings):
    tables = make_settings().tables()
    del tables["training"], tables["app"]
    settings = settings_of(tables, APPLICATION.defaults)
    assert (settings.training.base_lr, settings.training.last_layer_multiplier) == (0.001, 10)  # Table II
    assert (settings.training.momentum, settings.training.gamma) == (0.9, 0.95)
    assert settings.app == APPLICATION.defaults


def test_changed(make_settings):
    settings = make_settings()
    assert settings.changed("training.base_lr", 1).training.base_lr == 1.0
    assert settings.changed("app.windows", 5).app["windows"] == 5
    assert settings.changed("seed", 9).seed == 9
    for name in ("training.rate", "app", "training", "no.such"):
        with pytest.raises(StudyError, match=f"no setting '{name}'"):
            settings.changed(name, 1)
    with pytest.raises(StudyError, match=r"app\.windows"):
        settings.changed("app.windows", "many")


def test_the_digest_is_of_what_decides_a_result(make_settings):
    settings = make_settings()
    assert settings.digest() == make_settings(arms=("scratch", "ip1")).digest(), "arms do not change one another"
    moved = dataclasses.replace(settings, data=dataclasses.replace(settings.data, train="/elsewhere"))
    assert settings.digest() == moved.digest(), "data may be moved; cases.csv tells whether they are the same"
    for other in (
        make_settings(seed=2),
        make_settings(base_lr=0.02),
        settings.changed("app.windows", 4),
        settings.changed("base.scale", 1),
        settings.changed("base.weights_sha256", "0"),
        settings.changed("arms.reduce_by", "case"),
        settings.changed("data.test", "/other"),
    ):
        assert other.digest() != settings.digest()
