"""The settings of a study from the flags of its command, new or against those of a run that exists."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from caffe_port.cli.display import Display
from caffe_port.errors import StudyError

if TYPE_CHECKING:
    from caffe_port.study.base import Base
    from caffe_port.study.run import Study
    from caffe_port.study.settings import Settings


def configured(flags: Mapping[str, Any]) -> list[dict[str, Any]]:
    """The flags of each application that the whole study has data for: a folder of its name in ``--data``, or in
    ``--out`` a run that has begun. Each run is a folder of that name in ``--out``.

    :raises StudyError: there are none; a flag is given that cannot be meant for all.
    """
    from caffe_port.study.applications import APPLICATIONS

    if flags["dataset"]:
        remedy = "Begin that application's run alone; 'all' goes on with it."
        raise StudyError(f"--dataset {flags['dataset']} is a layout of one application.", remedy=remedy)
    parts = []
    for name in APPLICATIONS:
        places = {key: str(Path(flags[key]) / name) if flags[key] else None for key in ("data", "test_data", "out")}
        if (places["data"] and Path(places["data"]).is_dir()) or Path(places["out"] or "", "study.toml").exists():
            parts.append({**flags, **places, "app": name})
    if not parts:
        raise StudyError(
            "There are data for no application.",
            file=flags["data"] or flags["out"],
            remedy=f"Give --data a folder with folders (or links) of these names: {', '.join(APPLICATIONS)}.",
        )
    return parts


def open_study(flags: Mapping[str, Any], display: Display) -> Study:
    """Begin the run that the flags of ``caffe-port study`` tell of, or go on with it.

    :raises CaffeError: they do not fit each other, the data, or the run that is there.
    """
    from caffe_port.cli.options import choose_device
    from caffe_port.study.applications import application
    from caffe_port.study.folder import RunFolder
    from caffe_port.study.run import Study
    from caffe_port.study.settings import read_settings

    app = application(flags["app"])
    path = RunFolder(flags["out"]).settings
    former = read_settings(path, app) if path.exists() else None
    if former is None:
        settings, names = _new(app, flags), ()  # type: tuple[Settings, Sequence[str]]
    else:
        settings, names = former, _chosen(former, flags)
    for name, value in _changes(flags, settings.base, known=former is not None):
        settings = settings.changed(name, value)
    return Study.open(
        flags["out"], settings, names,
        device=str(choose_device(flags["gpu"])), workers=flags["jobs"], ray=flags["ray"],
        bars=display.bar, watch=display.watch,
    )  # fmt: skip


def _new(app: Any, flags: Mapping[str, Any]) -> Settings:
    """The settings of a new run."""
    from caffe_port.study.base import open_base
    from caffe_port.study.settings import ArmChoice, Data, Settings, Training

    if not flags["data"]:
        remedy = "Give --data, or the folder of a run as --out."
        raise StudyError(f"There is no run in '{flags['out']}' yet, and no --data.", remedy=remedy)
    sizes = flags["size"]
    if sizes is not None and len(sizes) != 2:
        raise StudyError(f"--size is {sizes}.", remedy="Give height and width.")
    known = {key: flags[key] for key in ("mean", "scale", "size")}
    padding = app.padding if flags["padding"] is None else flags["padding"]
    base = open_base(flags["base"], flags["weights"], order=flags["order"] or "BGR", padding=padding, **known)
    if not base.mean and flags["mean"] is None:
        base = replace(base, mean=app.mean)
    train = str(Path(flags["data"]).resolve())
    if not Path(train).is_dir():
        raise StudyError("--data is no folder.", file=train)
    test = str(Path(flags["test_data"]).resolve()) if flags["test_data"] else ""
    first, second = ((flags["dataset"] or app.detect(Path(path))) if path else "" for path in (train, test))
    data = Data(train, test, first, second)
    arms = ArmChoice(_expanded(base, flags), app.reduce_by)
    return Settings(app.name, 1, data, base, arms, Training(**app.training), dict(app.defaults))


def _expanded(base: Base, flags: Mapping[str, Any]) -> tuple[str, ...]:
    """The names of all arms that the flags ask for."""
    from caffe_port.study.arms import arms_of

    parts = flags["arms"] or (), flags["inits"] or ("gaussian",), flags["fractions"] or (1.0,), flags["draws"] or 1
    return tuple(arm.name for arm in arms_of(base.body(), *parts))


def _chosen(former: Settings, flags: Mapping[str, Any]) -> Sequence[str]:
    """Which arms of an existing run to work on; none: all."""
    if not any(flags[key] for key in ("arms", "inits", "fractions", "draws")):
        return ()
    names = _expanded(former.base, flags)
    if unknown := [name for name in names if name not in former.arms.list]:
        raise StudyError(
            f"This run has no arm '{unknown[0]}' (arms.list).",
            file=Path(flags["out"]) / "study.toml",
            remedy=f"It has: {', '.join(former.arms.list)}. Add it to the list in that file, or choose a new folder.",
        )
    return names


def _changes(flags: Mapping[str, Any], base: Base, known: bool) -> Iterator[tuple[str, Any]]:
    """Settings that the flags give, beyond what a new run takes from them anyway."""
    from caffe_port.study.base import open_base

    if known:
        for flag, name in (("data", "data.train"), ("test_data", "data.test")):
            if flags[flag]:
                yield name, str(Path(flags[flag]).resolve())
        given = {key: flags[key] for key in ("mean", "scale", "size", "order", "padding") if flags[key] is not None}
        if given or flags["base"] or flags["weights"]:
            other = open_base(flags["base"] or base.net, flags["weights"] or base.weights, **given)
            names = {key: (key, f"{key}_sha256") for key in ("net", "weights")}
            asked = [*(["net"] if flags["base"] else []), *(["weights"] if flags["weights"] else [])]
            for name in [*(part for key in asked for part in names[key]), *given]:
                value = getattr(other, name)
                yield f"base.{name}", list(value) if isinstance(value, tuple) else value
        if flags["dataset"]:
            yield "data.dataset", flags["dataset"]
    for flag, name in (("seed", "seed"), ("epochs", "training.epochs")):
        if flags[flag] is not None:
            yield name, flags[flag]
    for text in flags["changes"]:
        yield _assignment(text)


def _assignment(text: str) -> tuple[str, Any]:
    """Name and value of ``--set``; values are as in study.toml, where texts may go without quotes."""
    from caffe_port.toml import read_value

    key, sign, value = (part.strip() for part in text.partition("="))
    if not sign or not key:
        raise StudyError(f"--set {text}: not KEY=VALUE.")
    return key if "." in key else f"app.{key}", read_value(value)
