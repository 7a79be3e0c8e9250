"""Small nets for tests."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor

from caffe_port import Net
from caffe_port.net import BlobwiseExecutor
from caffe_port.proto import pb
from caffe_port.proto.text import parse_text


def parse(text: str) -> Any:
    """The NetParameter of prototxt ``text``."""
    return parse_text(text, pb.NetParameter)


def build(text: str, **options: Any) -> Net:
    """The net of prototxt ``text``, with seed 1."""
    return Net(parse(text), **{"seed": 1, **options})


def inputs(**shapes: tuple[int, ...]) -> str:
    """Input layers of these shapes."""
    return "\n".join(
        f'layer {{ name: "{name}" type: "Input" top: "{name}" '
        f"input_param {{ shape {{ {' '.join(f'dim: {n}' for n in shape)} }} }} }}"
        for name, shape in shapes.items()
    )


def layer(kind: str, name: str, bottoms: str = "", tops: str = "", rest: str = "") -> str:
    """A layer with these bottoms and tops (separated by spaces)."""
    blobs = "".join(f' bottom: "{b}"' for b in bottoms.split()) + "".join(f' top: "{t}"' for t in tops.split())
    return f'layer {{ name: "{name}" type: "{kind}"{blobs} {rest} }}\n'


def ip(name: str, bottom: str, top: str, outputs: int = 3, rest: str = "") -> str:
    """An InnerProduct layer with gaussian weights and biases."""
    fillers = 'weight_filler { type: "gaussian" std: 0.5 } bias_filler { type: "gaussian" std: 0.5 }'
    return layer("InnerProduct", name, bottom, top, f"inner_product_param {{ num_output: {outputs} {fillers} }} {rest}")


def conv(name: str, bottom: str, top: str, outputs: int = 4, kernel: int = 3, rest: str = "", more: str = "") -> str:
    """A Convolution layer; ``more`` goes into its convolution_param."""
    filler = 'weight_filler { type: "xavier" }'
    return layer(
        "Convolution",
        name,
        bottom,
        top,
        f"convolution_param {{ num_output: {outputs} kernel_size: {kernel} {filler} {more} }} {rest}",
    )


def random_inputs(net: Net, seed: int = 0, classes: int = 3) -> dict[str, Tensor]:
    """Tensors for every input of ``net``; integers below ``classes`` for blobs called label."""
    generator = torch.Generator().manual_seed(seed)
    return {
        name: torch.randint(classes, net.blob_shapes[name], generator=generator).float()
        if name.startswith("label")
        else torch.randn(net.blob_shapes[name], generator=generator)
        for name in net.inputs
    }


def executor(net: Net, values: dict[str, Tensor]) -> BlobwiseExecutor:
    """A blobwise executor of ``net`` whose input blobs hold ``values``."""
    made = BlobwiseExecutor(net)
    for name, value in values.items():
        made.blobs[name].reshape(*value.shape)
        made.blobs[name].data.copy_(value)
    return made
