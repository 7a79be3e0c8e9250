"""``caffe-port device_query``."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import click

from caffe_port.cli.gflags import CaffeCommand
from caffe_port.cli.options import gpu_ids, log_to_stderr
from caffe_port.errors import CaffeError

#: Caffe's wording, and what PyTorch calls it; which of the last ones it knows depends on its version.
PROPERTIES = (
    ("Major revision number", "major"),
    ("Minor revision number", "minor"),
    ("Name", "name"),
    ("Total global memory", "total_memory"),
    ("Total shared memory per block", "shared_memory_per_block"),
    ("Warp size", "warp_size"),
    ("Number of multiprocessors", "multi_processor_count"),
)


@click.command(
    "device_query",
    cls=CaffeCommand,
    short_help="Show the GPUs that PyTorch can use.",
    epilog="Example: caffe-port device_query --gpu 0",
)
@click.option("--gpu", default="all", show_default=True, metavar="ID[,ID]|all", help="Which GPUs to show.")
def device_query(gpu: str) -> None:
    """Log number, compute capability, name, memory (in bytes) and size of GPUs that PyTorch can use."""
    import torch

    from caffe_port.log import log

    log_to_stderr()
    log.info("Querying GPUs %s", gpu)
    try:
        chosen = gpu_ids(gpu, torch.cuda.device_count() if torch.cuda.is_available() else 0)
    except CaffeError as error:
        error.remedy = "Check the driver with nvidia-smi, and that this PyTorch is one built for CUDA."
        raise
    for index in chosen:
        for line in describe(index, torch.cuda.get_device_properties(index)):
            log.info("%s", line)


def describe(index: int, properties: Any) -> Iterator[str]:
    """The lines about GPU ``index``, as far as ``properties`` (torch.cuda.get_device_properties) tell."""
    yield f"{'Device id:':<31}{index}"
    for words, name in PROPERTIES:
        if hasattr(properties, name):
            yield f"{words + ':':<31}{getattr(properties, name)}"
