"""What NVIDIA's, Intel's and the SSD fork of Caffe add to the schema, by name and by number.

``forks.tsv`` lists, for the messages and enums that BVLC Caffe has, every field and value that only a fork has or that
has another number there, with its wire types ("value" for an enum's value; "varint,length" for a repeated number, which
may be packed). The forks reused each other's numbers, so text can take their union by name, while a binary file needs
to be known as one fork's (:mod:`caffe_port.proto.dialect`).
"""

from __future__ import annotations

from collections.abc import Iterable
from functools import cache
from pathlib import Path
from typing import NamedTuple

BVLC = "bvlc"
FORK_NAMES = {"nvidia": "NVIDIA Caffe", "intel": "Intel Caffe", "ssd": "SSD Caffe"}

#: Fork fields that cannot change what a net computes, only how fast, where, in which precision or how talkative a fork
#: does it. They are accepted and skipped, with one warning a file.
HARMLESS: dict[str, frozenset[str]] = {
    message: frozenset(names.split())
    for message, names in {
        # Types and maths, cuDNN's choice of algorithms, gradient communication, 8-bit inference. global_grad_scale
        # multiplies the loss gradient and is divided out again at the update: a guard against underflow in fp16.
        "NetParameter": "default_forward_type default_backward_type default_forward_math default_backward_math "
        "default_conv_algos_override default_cudnn_math_override global_grad_scale global_grad_scale_adaptive "
        "reduce_buckets eltwise_mem_sharing engine compile_net_state multinode",
        "LayerParameter": "forward_type backward_type forward_math backward_math cudnn_math_override debug engine "
        "quantization_param multinode mn_grad_compress_param",
        "SolverParameter": "solver_data_type store_blobs_in_old_format engine",
        "ConvolutionParameter": "cudnn_convolution_algo_seeker conv_algos_override conv_algorithm",
        # Threads and caches; record order is BVLC's own here.
        "DataParameter": "threads parser_threads cache precache",
        "ImageDataParameter": "threads cache precache",
        "TransformationParameter": "use_gpu_transform display",
        # Which library computes it.
        "BatchNormParameter": "engine",
        "ConcatParameter": "engine",
        "DropoutParameter": "engine",
        "EltwiseParameter": "engine",
        "InnerProductParameter": "engine",
    }.items()
}


class Entry(NamedTuple):
    """One field of a message, or value of an enum, in forks."""

    number: int
    name: str
    wires: tuple[str, ...]
    forks: frozenset[str]


@cache
def _table() -> dict[str, list[Entry]]:
    """Entries by message or enum."""
    table: dict[str, list[Entry]] = {}
    for line in Path(__file__).with_name("forks.tsv").read_text(encoding="ascii").splitlines()[1:]:
        owner, number, name, wires, forks = line.split("\t")
        entry = Entry(int(number), name, tuple(wires.split(",")), frozenset(forks.split(",")))
        table.setdefault(owner, []).append(entry)
    return table


def spell(forks: Iterable[str]) -> str:
    """The forks, BVLC Caffe among them, in words: ``NVIDIA Caffe, Intel Caffe and SSD Caffe``."""
    names = [text for fork, text in {BVLC: "BVLC Caffe", **FORK_NAMES}.items() if fork in forks]
    return " and ".join(filter(None, [", ".join(names[:-1]), *names[-1:]]))


def forks_with(owner: str, name: str) -> str:
    """The forks in which message or enum ``owner`` has the field or value ``name``, in words; empty: none."""
    return spell({fork for entry in _table().get(owner, []) if entry.name == name for fork in entry.forks})


@cache
def entries(owner: str, number: int) -> tuple[Entry, ...]:
    """What forks have under ``number`` in message or enum ``owner``."""
    return tuple(entry for entry in _table().get(owner, []) if entry.number == number)


def numbers(owner: str) -> set[int]:
    """The numbers under which forks have anything in message or enum ``owner``."""
    return {entry.number for entry in _table().get(owner, [])}


def is_harmless(message: str, name: str) -> bool:
    """Whether the fork field cannot change any result."""
    return name in HARMLESS.get(message, frozenset())


def is_hint(enum: str, name: str) -> bool:
    """Whether the value ``name`` of ``enum`` is a fork's name of an engine, which cannot change any result."""
    return enum.endswith(".Engine") and bool(forks_with(enum, name))
