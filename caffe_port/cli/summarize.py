"""``caffe-port summarize``."""

from __future__ import annotations

import json
from dataclasses import asdict
from typing import TYPE_CHECKING

import click

from caffe_port.cli.options import level_option, split_stages, stage_option, unknown, unknown_option

if TYPE_CHECKING:
    from caffe_port.net.summary import LayerSummary, NetSummary


def _shapes(context: click.Context, param: click.Parameter, values: tuple[str, ...]) -> dict[str, tuple[int, ...]]:
    """The shapes in ``data=1x3x227x227`` by name."""
    shapes = {}
    for value in values:
        name, _, shape = value.rpartition("=")
        if not name or not all(size.isdecimal() for size in shape.split("x")):
            raise click.BadParameter(f"'{value}' is not like data=1x3x227x227.")
        shapes[name] = tuple(map(int, shape.split("x")))
    return shapes


@click.command(
    "summarize",
    short_help="Show shapes, parameters and cost of a net.",
    epilog="Example: caffe-port summarize train_val.prototxt --phase TRAIN --input data=50x3x227x227 --input label=50",
)
@click.argument("net", metavar="NET")
@click.option(
    "--phase",
    type=click.Choice(["TRAIN", "TEST"]),
    default="TEST",
    show_default=True,
    help="The phase whose layers are counted.",
)
@level_option
@stage_option
@click.option(
    "--input",
    "inputs",
    multiple=True,
    metavar="BLOB=SHAPE",
    callback=_shapes,
    help="Shape of an input (data=1x3x227x227), in place of what NET's data says. Once for each blob.",
)
@click.option("--json", "as_json", is_flag=True, help="Print JSON.")
@unknown_option
def summarize(
    net: str, phase: str, level: int, stage: str, inputs: dict[str, tuple[int, ...]], as_json: bool, allow_unknown: bool
) -> None:
    """Show the shapes of NET, and how many parameters, multiply-adds and bytes each layer takes.

    Multiply-adds are those of products with weights in one forward pass; bytes are those of the layer's tops, 0 where
    they are its bottom's memory (in-place layers, Flatten, Reshape). "fixed" parameters have an lr_mult of 0.
    """
    from caffe_port.net.summary import summarize as summary_of

    summary = summary_of(net, phase, level, split_stages(stage), inputs=inputs, unknown=unknown(allow_unknown))
    if as_json:
        totals = {what: summary.total(what) for what in ("parameters", "learnable", "multiply_adds", "memory")}
        click.echo(json.dumps({**asdict(summary), "total": {**totals, "weight_bytes": summary.weight_bytes}}, indent=1))
    else:
        _show(summary)


def _show(summary: NetSummary) -> None:
    rows: list[tuple[str, ...]] = [("layer", "type", "bottoms", "tops", "parameters", "multiply-adds", "bytes")]
    rows += [_row(layer) for layer in summary.layers]
    widths = [max(map(len, column)) for column in zip(*rows)]
    for index, row in enumerate(rows):
        text, numbers = row[:4], row[4:]
        cells = [cell.ljust(width) for cell, width in zip(text, widths)]
        cells += [cell.rjust(width) for cell, width in zip(numbers, widths[4:])]
        click.echo("  ".join(cells).rstrip())
        if index == 0:
            click.echo("  ".join("-" * width for width in widths))
    parameters, learnable = summary.total("parameters"), summary.total("learnable")
    multiply_adds, batch = summary.total("multiply_adds"), summary.batch
    click.echo(f"\n{summary.name or 'net'}, {summary.phase} phase, batch of {batch}")
    click.echo(f"parameters:    {parameters:,} ({learnable:,} learnable, {parameters - learnable:,} fixed)")
    click.echo(f"weights:       {summary.weight_bytes:,} bytes")
    click.echo(f"multiply-adds: {multiply_adds:,} for the batch, {multiply_adds / batch:,.0f} per item")
    click.echo(f"blobs:         {summary.total('memory'):,} bytes")


def _row(layer: LayerSummary) -> tuple[str, ...]:
    bottoms, tops = (
        " ".join("x".join(map(str, shape)) or "1" for shape in shapes)
        for shapes in (layer.bottom_shapes, layer.top_shapes)
    )
    fixed = layer.parameters - layer.learnable
    notes = [f"{fixed:,} fixed"] if fixed else []
    notes += [f"{layer.shared:,} shared"] if layer.shared else []
    parameters = f"{layer.parameters:,}" + (f" ({', '.join(notes)})" if notes else "")
    return layer.name, layer.type, bottoms, tops, parameters, f"{layer.multiply_adds:,}", f"{layer.memory:,}"
