"""Everything that decides the result of a run: :class:`Settings`, on disk ``study.toml``."""

from __future__ import annotations

import hashlib
import json
import platform
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field, fields, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import torch

from caffe_port.errors import FormatError, StudyError
from caffe_port.files import atomic_write
from caffe_port.study.base import Base
from caffe_port.study.tables import build, build_like, plain, table, to_toml
from caffe_port.toml import read_toml
from caffe_port.version import __version__

if TYPE_CHECKING:
    from caffe_port.study.cases import Application


@dataclass(frozen=True)
class Data:
    """Where the images are.

    :param train: the folder; ``test`` a second one, or empty: ``train`` is split by patient.
    :param dataset: the layout of ``train``, one of the application's.
    :param test_dataset: that of ``test``; empty: the same.
    """

    train: str
    test: str = ""
    dataset: str = ""
    test_dataset: str = ""


@dataclass(frozen=True)
class Training:
    """Table II, Eq. 2 and what they leave open.

    :param base_lr: alpha of the tuned layers; the new last layer has ``last_layer_multiplier`` times as much.
    :param gamma: what the rates are multiplied by after each epoch.
    :param patience: epochs without a better AUC on the validation set after which training ends.
    :param mirror: whether training patches are mirrored at random.
    :param features: whether shallow arms may train on features that were computed once, where that is exact.
    :param validation: share of the training patients (0 to 1) that the AUC is computed on.
    :param test: share of all patients that are tested on, where there is no other folder for that.
    :param patches: for training and validation together, at most; 0: all that there are.
    """

    base_lr: float = 0.001
    last_layer_multiplier: float = 10.0
    momentum: float = 0.9
    gamma: float = 0.95
    weight_decay: float = 0.0
    batch_size: int = 128
    epochs: int = 30
    patience: int = 5
    mirror: bool = False
    features: bool = True
    validation: float = 0.2
    test: float = 0.5
    patches: int = 0


@dataclass(frozen=True)
class ArmChoice:
    """Which arms there are; they do not change one another's results.

    :param list: their names, see :class:`caffe_port.study.arms.Arm`.
    :param reduce_by: what a smaller training set has fewer of: ``patient`` (video, exam), ``case`` (frame, image) or
        ``lesion`` (embolus).
    """

    list: tuple[str, ...]
    reduce_by: str = "patient"


def versions() -> dict[str, str]:
    """The software that a run depends on."""
    return {
        "caffe_port": __version__,
        "torch": torch.__version__,
        "numpy": np.__version__,
        "python": platform.python_version(),
    }


@dataclass(frozen=True)
class Settings:
    """The settings of one run.

    :param application: its name; ``app`` has its own settings.
    :param seed: of splits, patches, initial weights, and the order of training.
    :raises StudyError: a value is out of its range.
    """

    application: str
    seed: int
    data: Data
    base: Base
    arms: ArmChoice
    training: Training = field(default_factory=Training)
    app: Mapping[str, Any] = field(default_factory=dict)
    versions: Mapping[str, str] = field(default_factory=versions)

    def __post_init__(self) -> None:
        if not 0 <= self.seed < 2**31:
            raise StudyError(f"seed is {self.seed}.", remedy="It is 0 to 2147483647.")
        for name, value, allowed in self._bounds():
            if not allowed:
                raise StudyError(f"{name} is {value}: out of range.")

    def _bounds(self) -> Iterator[tuple[str, Any, bool]]:
        training, arms = self.training, self.arms
        for name in ("base_lr", "last_layer_multiplier", "gamma"):
            yield f"training.{name}", getattr(training, name), 0 < getattr(training, name) < float("inf")
        for name in ("batch_size", "epochs", "patience"):
            yield f"training.{name}", getattr(training, name), getattr(training, name) > 0
        for name in ("validation", "test"):
            yield f"training.{name}", getattr(training, name), 0 < getattr(training, name) < 1
        yield "training.patches", training.patches, training.patches >= 0
        yield "training.momentum", training.momentum, 0 <= training.momentum < 1
        yield "training.weight_decay", training.weight_decay, 0 <= training.weight_decay < float("inf")
        yield "arms.list", arms.list, bool(arms.list) and len(set(arms.list)) == len(arms.list)
        yield "arms.reduce_by", arms.reduce_by, arms.reduce_by in ("patient", "case", "lesion")

    def digest(self) -> str:
        """A hash of whatever changes the result of an arm: all but the list of arms, the versions, and where files lie
        (the base's files have hashes of their own, the data are compared with ``cases.csv``)."""
        left_out = ("arms.list", "versions.", "data.train", "data.test", "base.net", "base.weights")
        hashes = ("base.net_sha256", "base.weights_sha256")
        flat = {key: value for key, value in self.flat().items() if key in hashes or not key.startswith(left_out)}
        flat["data.test"] = bool(self.data.test)
        return hashlib.sha256(json.dumps(flat, sort_keys=True).encode()).hexdigest()

    def flat(self) -> dict[str, Any]:
        """Every setting by its name: ``seed``, ``training.epochs``, ``app.patch_size``, ..."""
        flat: dict[str, Any] = {}
        for name, value in self.tables().items():
            flat |= {f"{name}.{key}": item for key, item in value.items()} if isinstance(value, dict) else {name: value}
        return flat

    def tables(self) -> dict[str, Any]:
        """As in study.toml: a dictionary of scalars, lists, and one level of tables."""
        return {f.name: plain(getattr(self, f.name)) for f in fields(self)}

    def changed(self, key: str, value: Any) -> Settings:
        """These settings with another ``value`` for the one called ``key`` (see :meth:`flat`).

        :raises StudyError: there is no such setting, or the value does not fit.
        """
        tables = self.tables()
        section, _, name = key.rpartition(".")
        known = tables.get(section) if section else tables
        if not isinstance(known, dict) or name not in known or isinstance(known[name], dict):
            raise StudyError(f"There is no setting '{key}'.", remedy=f"There are: {', '.join(self.flat())}.")
        known[name] = value
        return settings_of(tables, self.app)

    def write(self, path: Path) -> None:
        """Write ``study.toml``, whole or not at all."""
        heading = "# Everything that decides the result of this run. Written by caffe-port study.\n"
        with atomic_write(path, StudyError) as file:
            file.write((heading + to_toml(self.tables())).encode())


def read_settings(path: Path, app: Application) -> Settings:
    """The settings in the file at ``path``, of a run of ``app``.

    :raises StudyError: the file is absent, of another application, or holds an unknown, missing or wrong setting.
    :raises FormatError: it is no TOML.
    """
    tables = _tables(path)
    try:
        if tables.get("application") != app.name:
            name = tables.get("application")
            raise StudyError(f"This is a run of the application {name!r}, not of '{app.name}'.")
        return settings_of(tables, app.defaults)
    except StudyError as error:
        raise error.at(file=path) from None


def _tables(path: Path) -> dict[str, Any]:
    if not path.exists():
        remedy = "Begin with 'caffe-port study prepare' or 'run', with --data."
        raise StudyError("is not there: the folder holds no study.", file=path, remedy=remedy)
    try:
        return read_toml(path)
    except FormatError as error:
        error.remedy = "Mend it, or begin in a new folder."
        raise


def settings_of(tables: Mapping[str, Any], app_defaults: Mapping[str, Any]) -> Settings:
    """Settings from the tables of a study.toml (see :meth:`Settings.tables`); what is left out has its default."""
    values = dict(tables)
    given = table(values.pop("app", {}), "app")
    software = {key: str(value) for key, value in table(values.pop("versions", versions()), "versions").items()}
    settings: Settings = build(Settings, values, left_out=("app", "versions"))
    return replace(settings, app=build_like(given, app_defaults, "app."), versions=software)
