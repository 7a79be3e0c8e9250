"""``caffe-port study``: how deep should a net be fine-tuned to a user's images?"""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import replace
from functools import wraps
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from caffe_port.cli.options import gpu_option
from caffe_port.cli.progress import Progress
from caffe_port.errors import StudyError

if TYPE_CHECKING:
    from caffe_port.study.base import Base
    from caffe_port.study.run import Study
    from caffe_port.study.settings import Settings


class _Commas(click.ParamType):
    """Values separated by commas."""

    def __init__(self, name: str, kind: Callable[[str], Any] = str) -> None:
        self.name, self.kind = name, kind

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> tuple[Any, ...]:
        """The values."""
        try:
            values = tuple(self.kind(part.strip()) for part in value.split(",") if part.strip())
        except (ValueError, ZeroDivisionError):
            values = ()
        if not values:
            self.fail(f"'{value}' is no list of that kind.", param, ctx)
        return values


def _fraction(text: str) -> float:
    over, _, under = text.partition("/")
    return float(over) / float(under or 1)


_OPTIONS = [
    click.argument("app", metavar="APP"),
    click.option("--out", required=True, metavar="DIR", help="Folder of the run; an existing run goes on."),
    click.option("--data", metavar="DIR", help="Folder of the images. A run that exists knows it."),
    click.option("--test-data", metavar="DIR", help="Test on these instead of half of the patients of --data."),
    click.option("--dataset", metavar="NAME", help="Layout of the folder.  [default: told by its files]"),
    click.option(
        "--arms",
        type=_Commas("A[,B]"),
        help="Arms: conv1-fc8, ..., fc8, scratch, scratch+xavier, fc8@0.1; of a run that exists, those to work on.  "
        "[default: every depth and scratch]",
    ),
    click.option(
        "--fractions",
        type=_Commas("F[,G]", _fraction),
        help="Shares of the training set, such as 1,1/2,0.1.  [default: 1]",
    ),
    click.option("--draws", type=click.IntRange(1), help="Random subsets of each share below 1.  [default: 1]"),
    click.option(
        "--inits", type=_Commas("I[,J]"), help="How scratch begins: gaussian, xavier, msra.  [default: gaussian]"
    ),
    click.option("--epochs", type=click.IntRange(1), help="Epochs at most."),
    click.option("--base", metavar="NET", help="The net to fine-tune.  [default: the paper's AlexNet]"),
    click.option("--weights", metavar="FILE", help="Its weights."),
    click.option("--mean", metavar="FILE|B,G,R", help="Its mean: a file or a value per channel.  [default: the net's]"),
    click.option("--scale", type=float, help="What pixels are multiplied by.  [default: the net's, else 1]"),
    click.option("--size", type=_Commas("H,W", int), help="Its input, where the net does not tell."),
    click.option(
        "--padding/--no-padding",
        default=None,
        help="Whether its layers keep their padding.  [default: not for interfaces, where it is applied densely]",
    ),
    click.option("--order", type=click.Choice(["BGR", "RGB"]), help="Its order of channels.  [default: BGR]"),
    click.option("--seed", type=int, help="Of everything that is random.  [default: 1]"),
    click.option(
        "--set",
        "changes",
        multiple=True,
        metavar="KEY=VALUE",
        help="Any other setting of study.toml: training.base_lr=0.0003; without a dot one of the application's.",
    ),
    click.option("--jobs", type=click.IntRange(1), default=1, help="Arms side by side, in as many processes."),
    click.option("--ray", metavar="ADDRESS", help="Run arms as tasks of this Ray cluster (auto: the one that runs)."),
    gpu_option,
]


@click.group(
    short_help="How deep to fine-tune: arms, tests and report.",
    epilog="Example: caffe-port study run frames --data DIR --out my-run --base net.prototxt --weights net.caffemodel",
)
def study() -> None:
    """Carry out the paper's study on your own images: fine-tuning to every depth, and training from scratch.

    "run" does all stages, the others one each. Every stage skips what is done; a run that was stopped goes on.
    """


def _stage(function: Callable[[Study], None]) -> click.Command:
    @wraps(function)
    def command(**flags: Any) -> None:
        with Display() as display:
            function(_open(flags, display))

    for option in reversed(_OPTIONS):
        command = option(command)
    example = f"Example: caffe-port study {function.__name__} frames --data DIR --out my-run"
    return study.command(function.__name__, epilog=example)(command)


@_stage
def prepare(study: Study) -> None:
    """Split the data by patient and store patches."""
    study.prepare()


@_stage
def train(study: Study) -> None:
    """Train every arm until its AUC on the validation set is best."""
    _train(study)


@_stage
def evaluate(study: Study) -> None:
    """Test every arm and the handcrafted competitor: metrics.json."""
    study.evaluate()
    click.echo(study.folder.metrics)


@_stage
def report(study: Study) -> None:
    """Write report/index.html from metrics.json."""
    _report(study)


@_stage
def run(study: Study) -> None:
    """All stages, one after the other."""
    study.prepare()
    _train(study)
    study.evaluate()
    _report(study)


def _train(study: Study) -> None:
    for arm, done in study.train().items():
        auc, best = max(done["validation_auc"]), done["best_epoch"]
        click.echo(f"{arm}: AUC {auc:.4f} on the validation set in epoch {best} of {done['epochs']}", err=True)


def _report(study: Study) -> None:
    from caffe_port.study.report import write_report

    click.echo(write_report(study.folder.root))


# -- settings from flags ----------------------------------------------------------------------------------------------


def _open(flags: Mapping[str, Any], display: Display) -> Study:
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
    data = Data(train, test, flags["dataset"] or app.detect(Path(train)))
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


# -- the terminal -----------------------------------------------------------------------------------------------------


class Display:
    """Bars on standard error: one for whatever is counted, one for the arm that trains."""

    def __init__(self) -> None:
        self._arm = ""
        self._bar: Progress | None = None

    def __enter__(self) -> Display:
        return self

    def __exit__(self, *_: object) -> None:
        self._close()

    def _close(self) -> None:
        if self._bar is not None:
            self._bar.__exit__()
        self._arm, self._bar = "", None

    @contextmanager
    def bar(self, what: str) -> Iterator[Callable[[int, int], None]]:
        """A bar under the sentence ``what``."""
        self._close()
        click.echo(what, err=True)
        with Progress(stream=sys.stderr) as progress:
            yield progress.count

    def watch(self, arm: str, done: int, total: int, loss: float) -> None:
        """Show how far the training of ``arm`` is."""
        if arm != self._arm or self._bar is None:
            self._close()
            click.echo(f"Training {arm}", err=True)
            self._arm, self._bar = arm, Progress(total, sys.stderr).__enter__()
        self._bar(done, loss)
