"""``caffe-port parity``."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

import click

from caffe_port.cli.options import (
    choose_device,
    level_option,
    split_stages,
    stage_option,
    unknown,
    unknown_option,
)

if TYPE_CHECKING:
    from caffe_port.parity.record import Record
    from caffe_port.parity.report import Finding, Report, Row
    from caffe_port.parity.training import TrainingReport


@click.command(
    short_help="Compare a net with what another Caffe computed.",
    epilog="Example: caffe-port parity deploy.prototxt w.caffemodel --reference reference.npz --backward",
)
@click.argument("net", required=False)
@click.argument("weights", required=False)
@click.option("--reference", metavar="NPZ", help="What another program computed; see tools/record_reference.py.")
@click.option(
    "--against",
    type=click.Choice(["opencv", "caffe"]),
    help="Compute the reference now, with the OpenCV (below 5) or the real Caffe that is installed here.",
)
@click.option("--inputs", metavar="NPZ", help="With --against: the inputs, by name.  [default: random numbers]")
@click.option("--seed", default=1, show_default=True, help="With --against: seed of the random inputs.")
@click.option("--python", metavar="PATH", help="With --against caffe: the Python that has it.  [default: this one]")
@click.option("--backward", is_flag=True, help="Compare diffs and gradients too.")
@click.option(
    "--phase", type=click.Choice(["TRAIN", "TEST"]), default="TEST", show_default=True, help="The phase to run."
)
@click.option("--solver", metavar="FILE", help="Compare a training with a recorded one instead of a net.")
@click.option("--weights", "start", metavar="FILE", help="With --solver: the weights that the record started from.")
@click.option(
    "--tolerance",
    type=click.FloatRange(min=0),
    help="What a value may be off, as a part of the largest in its blob.  [default: 2e-5; of a training 1e-3]",
)
@click.option("--json", "as_json", is_flag=True, help="Print the result as JSON.")
@click.option(
    "--device", default="cpu", show_default=True, metavar="cpu|cuda|cuda:ID", help="Where NET computes; also as --gpu."
)
@click.option("--gpu", metavar="ID", hidden=True)
@level_option
@stage_option
@unknown_option
@click.pass_context
def parity(context: click.Context, **options: Any) -> None:
    """Run NET with WEIGHTS on recorded inputs and compare every blob; name the first layer that differs, and why.

    The exit status is 0 if all agrees and 1 if not. Learnable blobs in the record come in place of WEIGHTS.
    """
    _check_usage(**options)
    device = _device(options["device"], options["gpu"])
    if options["solver"]:
        training = _compare_training(options, device)
        agrees, form, show = training.agrees, training.to_json(), lambda: _show_training(training)
    else:
        report = _compare_net(options, device)
        agrees, form, show = report.agrees, report.to_json(), lambda: _show(report)
    click.echo(json.dumps(form)) if options["as_json"] else show()
    context.exit(0 if agrees else 1)


def _device(device: str, gpu: str | None) -> Any:
    """The device that ``--device`` names, or ``--gpu``, as other commands have it."""
    kind, _, index = device.partition(":")
    if kind not in ("cpu", "cuda") or (kind == "cpu" and index):
        raise click.UsageError(f"--device {device}: it is cpu, cuda, or cuda:0, cuda:1, ...")
    return choose_device(gpu if gpu is not None or kind == "cpu" else index or "0")


def _check_usage(**options: Any) -> None:
    """Refuse combinations of options that mean nothing."""
    solver, against = options["solver"], options["against"]
    if bool(solver) == bool(options["net"]):
        raise click.UsageError("Give either NET or --solver.")
    if bool(options["reference"]) == bool(against):
        raise click.UsageError("Give either --reference or --against.")
    if solver and (against or options["backward"]):
        raise click.UsageError("--solver takes --reference; --against and --backward are for nets.")
    if options["start"] and not solver:
        raise click.UsageError("--weights belongs to --solver; those of a net come after it: NET WEIGHTS.")
    if not against and (options["inputs"] or options["python"]):
        raise click.UsageError("--inputs and --python belong to --against.")
    if against == "opencv" and (options["backward"] or options["phase"] == "TRAIN" or not options["weights"]):
        raise click.UsageError("--against opencv needs WEIGHTS, and runs forward in TEST phase only.")


def _compare_training(options: dict[str, Any], device: Any) -> TrainingReport:
    from caffe_port.parity.training import TOLERANCE, compare_training

    return compare_training(
        options["solver"],
        options["reference"],
        options["start"],
        tolerance=TOLERANCE if options["tolerance"] is None else options["tolerance"],
        unknown=unknown(options["allow_unknown"]),
        device=device,
    )


def _compare_net(options: dict[str, Any], device: Any) -> Report:
    from caffe_port.parity import compare
    from caffe_port.parity.difference import TOLERANCE
    from caffe_port.parity.record import Record

    record = Record.read(options["reference"]) if options["reference"] else _record_now(options)
    return compare(
        options["net"],
        options["weights"],
        record,
        backward=options["backward"],
        tolerance=TOLERANCE if options["tolerance"] is None else options["tolerance"],
        phase=options["phase"],
        level=options["level"],
        stages=split_stages(options["stage"]),
        unknown=unknown(options["allow_unknown"]),
        device=device,
    )


def _record_now(options: dict[str, Any]) -> Record:
    import sys

    from caffe_port.net import Net
    from caffe_port.parity.live import inputs_for, record_caffe, record_opencv

    stages = split_stages(options["stage"])
    allow = unknown(options["allow_unknown"])
    net = Net(options["net"], None, options["phase"], options["level"], stages, unknown=allow)
    inputs = inputs_for(net, options["inputs"], options["seed"])
    if options["against"] == "opencv":
        return record_opencv(net, options["net"], options["weights"], inputs)
    python = options["python"] or sys.executable
    return record_caffe(options["net"], options["weights"], inputs, options["phase"], options["backward"], python)


# -- what is shown -----------------------------------------------------------------------------------------------------


def _show(report: Report) -> None:
    shown = [row for row in report.rows if row.status != "not recorded"]
    _table(
        ("", "blob", "shape", "layers", "error", "of the layer alone", "worst at", ""),
        [
            (
                "" if row.kind == "blob" else row.kind,
                row.name,
                _shape(row),
                _layers(row),
                f"{row.total.relative:.2g}" if row.total else "",
                f"{row.own.relative:.2g}" if row.own else "",
                _worst(row),
                "" if row.status == "agrees" else row.status.upper() if row.status == "diverges" else row.status,
            )
            for row in shown
        ],
    )
    click.echo("Errors are parts of the largest value of the reference's blob.")
    lacking = [row.name for row in report.rows if row.status == "not recorded"]
    if lacking:
        click.echo(f"Not recorded: {', '.join(lacking)}.")
    for note in report.notes:
        click.echo(note)
    if report.finding is not None:
        _show_finding(report.finding)
    agreeing = report.count("agrees")
    verdict = "agrees" if report.agrees else "DOES NOT AGREE"
    click.echo(f"{verdict}: {agreeing} of {len(shown)} arrays within {report.tolerance:g}.")


def _show_finding(finding: Finding) -> None:
    row, layers = finding.row, finding.layers
    names = ", ".join(f"'{layer.name}' ({layer.layer_type})" for layer in layers)
    click.echo(f"\nThe first divergence is in {row.kind} '{row.name}', made by {names}.")
    difference = row.own
    if difference is not None and difference.at is None:
        click.echo(f"  Its shape is {list(difference.shape)}, the reference's {list(difference.reference_shape)}.")
    elif difference is not None:
        click.echo(
            f"  At {list(difference.at or ())}: {difference.ours:g}, the reference has {difference.reference:g}."
        )
    for layer in layers:
        click.echo(f"  {layer.name}: {layer.parameters or 'no parameters given'}")
    for explanation in finding.explanations:
        near = f"to {explanation.relative:.1g}" if explanation.relative else "exactly"
        click.echo(
            f"  The reference agrees {near} with '{explanation.layer}' "
            f"({explanation.layer_type}) computed with {explanation.what}."
        )
    for layer in layers:
        click.echo(f"  Usual suspects in {layer.layer_type}: {'; '.join(layer.suspects)}.")
    click.echo("")


def _show_training(report: TrainingReport) -> None:
    _table(
        ("iteration", "loss", "reference", "error"),
        [
            (str(i + 1), f"{ours:.6g}", f"{real:.6g}", f"{abs(ours - real) / (abs(real) or 1):.2g}")
            for i, (ours, real) in enumerate(zip(report.losses, report.reference))
        ],
    )
    _table(
        ("", "blob", "error", "worst at", ""),
        [
            (row.kind, row.name, f"{row.own.relative:.2g}" if row.own else "", _worst(row), row.status)
            for row in report.rows
            if row.status != "agrees"
        ],
    )
    if report.first is not None:
        click.echo(f"The first divergence is in {report.first}.")
        for explanation in report.explanations:
            click.echo(f"  {explanation}")
        click.echo(f"  Usual suspects: {'; '.join(report.suspects)}.")
    verdict = "agrees" if report.agrees else "DOES NOT AGREE"
    click.echo(f"{verdict}: {len(report.losses)} iterations, losses and the first update within {report.tolerance:g}.")


def _shape(row: Row) -> str:
    difference = row.own or row.total
    return "" if difference is None else "x".join(map(str, difference.shape))


def _layers(row: Row) -> str:
    """The layers that made it; of many the first and the last."""
    names = row.layers
    return ", ".join(names) if len(names) <= 4 else f"{names[0]} to {names[-1]} ({len(names)})"


def _worst(row: Row) -> str:
    difference = row.own or row.total
    return "" if difference is None or not difference.error or difference.at is None else str(list(difference.at))


def _table(head: tuple[str, ...], rows: list[tuple[str, ...]]) -> None:
    if rows:
        widths = [max(map(len, column)) for column in zip(head, *rows)]
        for cells in (head, *rows):
            click.echo("  ".join(cell.ljust(width) for cell, width in zip(cells, widths)).rstrip())
