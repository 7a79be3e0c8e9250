"""What NVIDIA's, Intel's and the SSD fork of Caffe add to the schema, by name and by number.

``forks.tsv`` lists, for the messages and enums that BVLC Caffe has, every field and value that only a fork has, with
its number there. The forks reused each other's numbers, so text can take their union by name, a binary file cannot.
"""

from __future__ import annotations

from functools import cache
from pathlib import Path

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


@cache
def _table() -> dict[str, list[tuple[int, str, tuple[str, ...]]]]:
    """Message or enum name -> [(number, name, forks)]."""
    table: dict[str, list[tuple[int, str, tuple[str, ...]]]] = {}
    for line in Path(__file__).with_name("forks.tsv").read_text(encoding="ascii").splitlines()[1:]:
        owner, number, name, forks = line.split("\t")
        table.setdefault(owner, []).append((int(number), name, tuple(forks.split(","))))
    return table


def _spell(forks: set[str]) -> str:
    names = [text for fork, text in FORK_NAMES.items() if fork in forks]
    return " and ".join(filter(None, [", ".join(names[:-1]), *names[-1:]]))


def forks_with(owner: str, name: str) -> str:
    """The forks in which message or enum ``owner`` has the field or value ``name``, in words; empty: none."""
    return _spell({fork for _, known, forks in _table().get(owner, []) if known == name for fork in forks})


def fields_numbered(message: str, number: int) -> list[tuple[str, str]]:
    """The fork fields that may stand behind ``number`` in a binary ``message``: (name, forks in words)."""
    return [(name, _spell(set(forks))) for known, name, forks in _table().get(message, []) if known == number]


def is_harmless(message: str, name: str) -> bool:
    """Whether the fork field cannot change any result."""
    return name in HARMLESS.get(message, frozenset())
