"""The paper's AlexNet, and its plain translation into torch's own modules."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from caffe_port import Net, Solver
from caffe_port.proto import pb
from caffe_port.proto.files import read_net
from caffe_port.proto.text import parse_text
from caffe_port.resources import prototxt

SETTINGS = {"base_lr": 0.001, "momentum": 0.9, "weight_decay": 0.0005}


def random_inputs(batch: int, size: int) -> dict[str, Tensor]:
    """A batch of images (batch, 3, size, size) and of labels 0 and 1, as floats."""
    generator = torch.Generator().manual_seed(1)
    images = 100 * torch.randn(batch, 3, size, size, generator=generator)
    return {"data": images, "label": torch.randint(2, (batch,), generator=generator).float()}


def caffe_net(inputs: Mapping[str, Tensor]) -> Any:
    """The shipped AlexNet as a NetParameter that takes ``inputs`` ("data" and "label") instead of databases."""
    net = read_net(prototxt("alexnet/train_val.prototxt"))
    del net.layer[:2]
    shapes = " ".join("shape { " + " ".join(f"dim: {n}" for n in x.shape) + " }" for x in inputs.values())
    tops = " ".join(f'top: "{name}"' for name in inputs)
    text = f'layer {{ name: "data" type: "Input" {tops} input_param {{ {shapes} }} }}'
    net.layer.insert(0, parse_text(text, pb.NetParameter).layer[0])
    return net


def caffe_alexnet(device: torch.device, inputs: Mapping[str, Tensor]) -> Solver:
    """The solver of :func:`caffe_net`, fed with ``inputs``."""
    net = caffe_net(inputs)
    solver = Solver(pb.SolverParameter(net_param=net, lr_policy="fixed", random_seed=1, **SETTINGS), device=device)
    solver.feed = lambda net: inputs
    return solver


def plain_alexnet(features: int, classes: int) -> nn.Sequential:
    """The same net as one writes it with torch's own modules; ``features`` values go into the first linear one."""

    def relu() -> nn.Module:
        return nn.ReLU(inplace=True)

    def norm_and_pool() -> tuple[nn.Module, ...]:
        return nn.LocalResponseNorm(5, alpha=1e-4, beta=0.75, k=1.0), nn.MaxPool2d(3, 2, ceil_mode=True)

    return nn.Sequential(
        *(nn.Conv2d(3, 96, 11, stride=4), relu(), *norm_and_pool()),
        *(nn.Conv2d(96, 256, 5, padding=2, groups=2), relu(), *norm_and_pool()),
        *(nn.Conv2d(256, 384, 3, padding=1), relu()),
        *(nn.Conv2d(384, 384, 3, padding=1, groups=2), relu()),
        *(nn.Conv2d(384, 256, 3, padding=1, groups=2), relu(), nn.MaxPool2d(3, 2, ceil_mode=True), nn.Flatten()),
        *(nn.Linear(features, 4096), relu(), nn.Dropout()),
        *(nn.Linear(4096, 4096), relu(), nn.Dropout()),
        nn.Linear(4096, classes),
    )


def translate(net: Net, device: torch.device) -> nn.Sequential:
    """The plain translation of ``net``, with copies of its weights."""
    plain = plain_alexnet(math.prod(net.blob_shapes["pool5"][1:]), net.blob_shapes["fc8"][1]).to(device)
    with torch.no_grad():
        for ours, theirs in zip(net.params, plain.parameters(), strict=True):
            theirs.copy_(ours.blob)
    return plain


def disagreement(solver: Solver, plain: nn.Module, inputs: Mapping[str, Tensor]) -> float:
    """How far apart the scores of the two are without dropout, over the largest of them."""
    with torch.no_grad():
        ours = solver.net.eval().run(inputs)[0]["fc8"]
        theirs = plain.eval()(inputs["data"])
    solver.net.train()
    plain.train()
    return float((ours - theirs).abs().max() / theirs.abs().max())


def plain_step(plain: nn.Module, inputs: Mapping[str, Tensor]) -> Callable[[], None]:
    """A training step of a plain net, update included."""
    classes = inputs["label"].long()
    optimizer = torch.optim.SGD(plain.parameters(), SETTINGS["base_lr"], 0.9, weight_decay=SETTINGS["weight_decay"])

    def step() -> None:
        optimizer.zero_grad()
        F.cross_entropy(plain(inputs["data"]), classes).backward()
        optimizer.step()

    return step
