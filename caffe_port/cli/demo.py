"""``caffe-port demo``."""

from __future__ import annotations

import shlex
from pathlib import Path

import click

from caffe_port.cli.options import log_to_stderr


@click.command(
    short_help="Train, fine-tune, test and plot a small net.", epilog="Example: caffe-port demo --out my-demo"
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
    """Train a small net from scratch, fine-tune it to a second task, test both and plot.

    Needs no downloads and no GPU, and takes about a minute. The images are procedural: shapes drawn on clutter.
    """
    from caffe_port.cli.progress import Progress
    from caffe_port.demo import run_demo
    from caffe_port.demo.run import ABOUT, FINETUNE, PLOT, SHEET, TASK

    log_to_stderr()
    result = run_demo(folder, announce=click.echo, progress=Progress)
    click.echo(
        f"""
Test accuracy on procedural images:
  {TASK.train:,} images of {len(TASK.shapes)} shapes, from scratch: {result.accuracy:.1%} (chance {TASK.chance:.0%})
  {FINETUNE.train:,} images of {len(FINETUNE.shapes)} other shapes, fine-tuned: \
{result.finetuned_accuracy:.1%} (chance {FINETUNE.chance:.0%})

Everything is in {folder.resolve()}:
  {PLOT}  loss, accuracy and learning rate of both trainings
  {TASK.log}, {FINETUNE.log}  Caffe's log lines
  {TASK.weights}, {FINETUNE.weights}  weights, with their .solverstate
  {TASK.solver}, {TASK.net}, {FINETUNE.solver}, {FINETUNE.net}
  {SHEET}  examples of the images; {ABOUT}  what is what

Try next:
  cd {shlex.quote(str(folder))}
  caffe-port test --model {TASK.net} --weights {TASK.weights} --iterations {TASK.test_iterations}
  caffe-port train --solver {TASK.solver} --snapshot shapes_iter_300.solverstate   # resume halfway
  caffe-port train --solver {FINETUNE.solver}   # the second task without the first net's weights: compare"""
    )
