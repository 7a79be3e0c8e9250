"""``caffe-port study``: how deep should a net be fine-tuned to a user's images?"""

from __future__ import annotations

from collections.abc import Callable
from functools import wraps
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from caffe_port.cli.display import Display
from caffe_port.cli.options import gpu_option
from caffe_port.cli.study_settings import configured, open_study
from caffe_port.errors import CaffeError, StudyError

if TYPE_CHECKING:
    from caffe_port.study.run import Study

#: In place of an application: each that there are data for.
ALL = "all"


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
    click.option("--dataset", metavar="NAME", help="Layout of both folders.  [default: told by the files of each]"),
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

    APP is polyps, embolism, frames or interfaces (the paper's sections VI-A to VI-D); "all" stands for each that has a
    folder of its name in --data, and makes one report of them in --out.

    "run" does all stages, the others one each. Every stage skips what is done; a run that was stopped goes on.
    """


def _stage(function: Callable[[Study], None]) -> click.Command:
    @wraps(function)
    def command(**flags: Any) -> None:
        with Display() as display:
            if flags["app"] == ALL:
                _whole(function, flags, display)
            else:
                function(open_study(flags, display))

    for option in reversed(_OPTIONS):
        command = option(command)
    example = f"Example: caffe-port study {function.__name__} frames --data DIR --out my-run"
    return study.command(function.__name__, epilog=example)(command)


@_stage
def prepare(study: Study) -> None:
    """Split the data by patient, find candidates where lesions are detected, and store patches."""
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


def _whole(function: Callable[[Study], None], flags: dict[str, Any], display: Display) -> None:
    """A stage of all applications that there are data for; one that fails does not keep the others from it.

    :raises StudyError: there are none, or one failed; says which and why.
    """
    parts, failed = configured(flags), []
    for part in parts:
        click.echo(f"== {part['app']} ==", err=True)
        try:
            function(open_study(part, display))
        except CaffeError as error:
            failed.append(f"{part['app']}: {error}")
    if function.__name__ in ("report", "run") and len(failed) < len(parts):
        from caffe_port.study.report import write_whole_report

        try:
            click.echo(write_whole_report(Path(flags["out"])))
        except CaffeError as error:
            failed.append(f"the report: {error}")
    if failed:
        raise StudyError(f"Of the whole study failed: {' '.join(failed)}")


def _train(study: Study) -> None:
    for arm, done in study.train().items():
        auc, best = max(done["validation_auc"]), done["best_epoch"]
        click.echo(f"{arm}: AUC {auc:.4f} on the validation set in epoch {best} of {done['epochs']}", err=True)


def _report(study: Study) -> None:
    from caffe_port.study.report import write_report

    click.echo(write_report(study.folder.root))
