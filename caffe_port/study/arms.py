"""The arms of the study: how deep a net is fine-tuned, or that it is trained from scratch (Table II), for any net."""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from typing import Any

from caffe_port.errors import StudyError
from caffe_port.net.filter import phase_number
from caffe_port.proto import pb
from caffe_port.solver.epochs import epoch_steps
from caffe_port.study.body import LEARNABLE, Body, input_layer

SCRATCH = "scratch"
INITIALISATIONS = ("gaussian", "xavier", "msra")
#: Standard deviation for weights whose own filler is not gaussian (Table I leaves it open; BVLC's AlexNet: 0.01).
STD = 0.01
#: Layers whose weights belong to the depth of the learnable layer before them, and how many blobs they have.
_FOLLOWERS = {
    "PReLU": lambda layer: 1,
    "Bias": lambda layer: 1,
    "Scale": lambda layer: 2 if layer.scale_param.bias_term else 1,
}
_NAME = re.compile(r"(?P<depth>[^+@~]+)(\+(?P<init>\w+))?(@(?P<fraction>[\d.e-]+)(~(?P<draw>\d+))?)?")


@dataclass(frozen=True)
class Arm:
    """One training: ``conv1-fc8``, ``fc8``, ``scratch``, ``scratch+xavier``, ``conv1-fc8@0.1``, ``conv1-fc8@0.1~2``.

    :param depth: ``<first tuned layer>-<last layer>``, the last layer alone, or ``scratch``.
    :param init: how weights from scratch begin.
    :param fraction: share of the training set; ``draw`` which of the random subsets of that size, from 1.
    """

    depth: str
    init: str = "gaussian"
    fraction: float = 1.0
    draw: int = 1

    @property
    def name(self) -> str:
        """As on the command line, in metrics.json and on disk."""
        return self.depth + ("" if self.init == "gaussian" else f"+{self.init}") + self.subset

    @property
    def subset(self) -> str:
        """The part of the name that tells the training set: empty for the whole, ``@0.1``, ``@0.1~2``."""
        if self.fraction == 1:
            return ""
        return f"@{self.fraction:g}" + ("" if self.draw == 1 else f"~{self.draw}")

    @classmethod
    def parse(cls, name: str, body: Body) -> Arm:
        """The arm called ``name``.

        :raises StudyError: a net with this ``body`` has none of that name.
        """
        match = _NAME.fullmatch(name)
        depth = match["depth"] if match else ""
        init = (match and match["init"]) or "gaussian"
        try:
            fraction = float((match and match["fraction"]) or 1)
        except ValueError:
            fraction = 0.0
        draw = int((match and match["draw"]) or 1)
        known = depth in depths(body) and 0 < fraction <= 1 and draw > 0
        if not known or init not in INITIALISATIONS or (init != "gaussian" and depth != SCRATCH):
            raise StudyError(
                f"There is no arm '{name}'.",
                remedy=f"There are: {', '.join(depths(body))}; scratch also with +xavier or +msra; all with @F for a "
                "share F of the training set, above 0 and at most 1.",
            )
        return cls(depth, init, fraction, draw)

    def first(self, body: Body) -> int:
        """Number of the first layer that learns, among ``body.learnable``."""
        return 0 if self.depth == SCRATCH else depths(body).index(self.depth)

    def rate(self, number: int, body: Body, last_multiplier: float) -> float:
        """lr_mult of the weights of learnable layer ``number`` (Table II divided by its 0.001)."""
        if self.depth == SCRATCH:
            return 1.0
        if number == len(body.learnable) - 1:
            return last_multiplier
        return 1.0 if number >= self.first(body) else 0.0


def depths(body: Body) -> list[str]:
    """The names of the fine-tuning depths, deepest first, and ``scratch``: one more than there are learnable layers."""
    *others, last = body.learnable
    return [*(f"{name}-{last}" for name in others), last, SCRATCH]


def arms_of(
    body: Body, names: Sequence[str], inits: Sequence[str], fractions: Sequence[float], draws: int
) -> list[Arm]:
    """Every combination once: names (none: all depths and scratch) by fractions and draws, and scratch by ``inits``.

    A name that has an initialisation or fraction of its own stands for itself.

    :raises StudyError: a name is unknown.
    """
    made: dict[str, Arm] = {}
    for name in names or depths(body):
        arm = Arm.parse(name, body)
        arms: Iterable[Arm] = [arm] if name != arm.depth else _variants(arm.depth, inits, fractions, draws)
        made |= {each.name: each for each in arms}
    return list(made.values())


def _variants(depth: str, inits: Sequence[str], fractions: Sequence[float], draws: int) -> Iterator[Arm]:
    for fraction in fractions:
        for draw in range(1, 1 + (1 if fraction == 1 else draws)):
            for init in inits if depth == SCRATCH else ("gaussian",):
                yield Arm(depth, init, fraction, draw)


# -- nets -------------------------------------------------------------------------------------------------------------


@dataclass(frozen=True)
class Feed:
    """Where the patches come from.

    :param transform: TransformationParameter of both phases; ``mirror`` is added in TRAIN.
    :param train: the LMDB; ``validation`` likewise. Batches as in data_param.
    """

    transform: Any
    train: str
    validation: str
    batch: int
    test_batch: int
    mirror: bool = False

    def layers(self) -> list[Any]:
        """The two Data layers."""
        return [self._layer("TRAIN", self.train, self.batch), self._layer("TEST", self.validation, self.test_batch)]

    def _layer(self, phase: str, source: str, batch: int) -> Any:
        layer = pb.LayerParameter(name="data", type="Data", top=["data", "label"])
        layer.include.add(phase=phase_number(phase))
        layer.transform_param.CopyFrom(self.transform)
        if self.mirror and phase == "TRAIN":
            layer.transform_param.mirror = True
        layer.data_param.source, layer.data_param.batch_size = source, batch
        layer.data_param.backend = pb.DataParameter.LMDB
        return layer


def train_val(body: Body, arm: Arm, classes: int, feed: Feed, last_multiplier: float = 10.0) -> Any:
    """The net that trains ``arm``: a new last layer of ``classes`` outputs, learning rates as Table II.

    Weights that learn have lr_mult 1 (in the new layer ``last_multiplier``, except from scratch), biases twice as much
    and no decay, frozen layers 0. What belongs to a frozen layer (PReLU, Scale, Bias) is frozen with it, a BatchNorm
    then uses its stored statistics.
    """
    net = pb.NetParameter(name=body.name, layer=feed.layers())
    number = 0
    for layer in body.layers:
        new = net.layer.add()
        new.CopyFrom(layer)
        if layer.type in LEARNABLE:
            number = body.learnable.index(layer.name)
            _fill(new, arm.init, arm.depth == SCRATCH or number == len(body.learnable) - 1)
            _set_rates(new, arm.rate(number, body, last_multiplier))
        elif number < arm.first(body):
            _freeze(new)
        if layer.name == body.learnable[-1]:
            _renew(new, body, classes)
    accuracy = net.layer.add(name="accuracy", type="Accuracy", bottom=[body.output, "label"], top=["accuracy"])
    accuracy.include.add(phase=pb.TEST)
    net.layer.add(name="loss", type="SoftmaxWithLoss", bottom=[body.output, "label"], top=["loss"])
    return net


def deploy(body: Body, classes: int, shape: Sequence[int]) -> Any:
    """The net to run: images in ``data`` (batch, channels, height, width), probabilities in ``prob``.

    It serves every arm, which only differ in their weights.
    """
    net = pb.NetParameter(name=body.name, layer=[input_layer(shape)])
    for layer in body.layers:
        new = net.layer.add()
        new.CopyFrom(layer)
        new.ClearField("param")
        if layer.type in LEARNABLE:
            param = getattr(new, LEARNABLE[layer.type])
            param.ClearField("weight_filler")
            param.ClearField("bias_filler")
        if layer.name == body.learnable[-1]:
            _renew(new, body, classes)
    net.layer.add(name="prob", type="Softmax", bottom=[body.output], top=["prob"])
    return net


def _renew(layer: Any, body: Body, classes: int) -> None:
    """Make ``layer`` the new last one: another name, so that it does not take the base's weights."""
    layer.name = body.new_last
    getattr(layer, LEARNABLE[layer.type]).num_output = classes


def _fill(layer: Any, init: str, random: bool) -> None:
    """Set the filler of weights that are to start at random; gaussian ones of the net's own stay as they are."""
    filler = getattr(layer, LEARNABLE[layer.type]).weight_filler
    if random and init != "gaussian":
        filler.Clear()
        filler.type = init
    elif random and filler.type != "gaussian":
        filler.Clear()
        filler.type, filler.std = "gaussian", STD


def _set_rates(layer: Any, rate: float) -> None:
    count = 2 if getattr(layer, LEARNABLE[layer.type]).bias_term else 1
    for index, (multiple, decay) in enumerate([(rate, 1), (2 * rate, 0)][:count]):
        spec = layer.param[index] if index < len(layer.param) else layer.param.add()
        spec.lr_mult, spec.decay_mult = multiple, decay


def _freeze(layer: Any) -> None:
    if layer.type == "BatchNorm":
        layer.batch_norm_param.use_global_stats = True
    elif layer.type in _FOLLOWERS:
        for index in range(_FOLLOWERS[layer.type](layer)):
            spec = layer.param[index] if index < len(layer.param) else layer.param.add()
            spec.lr_mult = spec.decay_mult = 0
    elif layer.type in ("Embed", "LSTM", "RNN", "Parameter"):
        raise StudyError("The study cannot freeze this layer.", layer=layer.name, layer_type=layer.type)


# -- solvers ----------------------------------------------------------------------------------------------------------


@dataclass(frozen=True)
class Schedule:
    """Eq. 2 in numbers: |X| ``samples``, N ``batch``; after each epoch the rates fall by ``gamma``."""

    samples: int
    validation: int
    batch: int
    test_batch: int
    epochs: int
    base_lr: float = 0.001
    momentum: float = 0.9
    gamma: float = 0.95
    weight_decay: float = 0.0

    @property
    def ends(self) -> list[int]:
        """The iteration that ends each epoch."""
        return epoch_steps(self.samples, self.batch, self.epochs + 1)

    @property
    def test_iter(self) -> int:
        """Batches that see every validation patch."""
        return -(-self.validation // self.test_batch)


def solver(schedule: Schedule, net: str, prefix: str, weights: str = "", seed: int | None = None) -> Any:
    """The SolverParameter that trains ``net`` (a path), with a test and a snapshot after the first epoch and as often
    again.

    :param prefix: of snapshots.
    :param weights: to start from; empty: from scratch.
    """
    ends = schedule.ends
    param = pb.SolverParameter(
        net=net,
        base_lr=schedule.base_lr,
        momentum=schedule.momentum,
        gamma=schedule.gamma,
        weight_decay=schedule.weight_decay,
        lr_policy="multistep",
        stepvalue=ends[:-1],
        max_iter=ends[-1],
        test_iter=[schedule.test_iter],
        test_interval=ends[0],
        display=max(1, ends[0] // 5),
        snapshot=ends[0],
        snapshot_prefix=prefix,
    )
    if weights:
        param.weights.append(weights)
    if seed is not None:
        param.random_seed = seed
    return param
