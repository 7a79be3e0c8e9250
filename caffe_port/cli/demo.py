"""``caffe-port demo``."""

from __future__ import annotations

import shlex
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import click

from caffe_port.cli.display import Display


@click.command(
    short_help="The study in small, on procedural images.",
    epilog="Example: caffe-port demo --out my-demo",
)
@click.option(
    "--out",
    "folder",
    metavar="DIR",
    type=click.Path(path_type=Path),
    default="caffe-port-demo",
    show_default=True,
    help="Folder for everything: new, empty, or of a former demo, which is made anew.",
)
def demo(folder: Path) -> None:
    """Carry out the study in small: train a net on shapes, fine-tune it to phantoms of a carotid artery, report.

    Needs no downloads and no GPU, and takes two minutes. All images are procedural, so the numbers say nothing about
    patients.
    """
    from caffe_port.demo.run import ABOUT, BASE, NET, SOLVER, STUDY, WEIGHTS, run_demo

    with Display() as display:
        result = run_demo(folder, announce=click.echo, watch=display.watch, bars=display.bar)
    click.echo(
        f"""
Procedural images; mean errors in mm on phantoms that no net has seen:
{chr(10).join(_table(result.metrics))}
The base tells {result.accuracy:.1%} of new shapes right.

Report: {result.report}
{folder.resolve() / ABOUT} says what else is there.

Try next:
  cd {shlex.quote(str(folder / BASE))}
  caffe-port test --model {NET} --weights {WEIGHTS} --iterations 10
  caffe-port train --solver {SOLVER} --snapshot shapes_iter_200.solverstate   # resume halfway
  cd ../{STUDY}
  caffe-port train --solver arms/scratch/solver.prototxt   # an arm by hand"""
    )


def _table(metrics: Mapping[str, Any]) -> Iterator[str]:
    """A line for every arm and the handcrafted competitor."""
    measures = {
        "lumen_intima_error_mm": "lumen-intima",
        "media_adventitia_error_mm": "media-adventitia",
        "imt_error_mm": "IMT",
    }
    yield f"  {'':12}" + "".join(f"{title:>18}" for title in measures.values())
    for name, entry in {**metrics["arms"], "handcrafted": metrics["handcrafted"]}.items():
        yield f"  {name:12}" + "".join(f"{entry[key]['mean']:18.3f}" for key in measures)
