"""Which nets a solver file asks for (Caffe: solver.cpp, InitTrainNet and InitTestNets)."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from caffe_port.errors import CaffeError, SolverError
from caffe_port.net import Net
from caffe_port.proto import pb
from caffe_port.proto.files import read_net
from caffe_port.proto.upgrade import upgrade_net


@dataclass
class NetChoice:
    """A net with the state it is built for.

    ``origin`` is the solver's field that gives it. ``source`` is its file, or None when it stands in the solver itself.
    """

    net_param: Any
    state: Any
    origin: str
    source: str | None

    def __str__(self) -> str:
        return f"{self.origin} file: {self.source}" if self.source is not None else self.origin

    def build(self, seed: int, rank: int = 0, world: int = 1) -> Net:
        """The net itself, for the process ``rank`` of ``world`` that train together.

        :raises CaffeError: the net is at fault.
        """
        state = self.state
        try:
            net = Net(
                self.net_param,
                phase=state.phase,
                level=state.level,
                stages=state.stage,
                seed=seed,
                rank=rank,
                world=world,
            )
        except CaffeError as error:
            raise error.at(file=self.source) from None
        net.source = self.source
        return net


def train_net(param: Any, unknown: str = "error") -> NetChoice:
    """The training net of a SolverParameter.

    :raises SolverError: none or several are given.
    """
    fields = ("net", "net_param", "train_net", "train_net_param")
    given = [name for name in fields if param.HasField(name)]
    if len(given) != 1:
        raise SolverError(
            f"The solver names {', '.join(given)}: one training net too many."
            if given
            else "The solver names no training net.",
            remedy=f"Set exactly one of {', '.join(fields)}.",
        )
    return _choose(given[0], getattr(param, given[0]), pb.TRAIN, param.train_state, unknown)


def evaluation_nets(param: Any, unknown: str = "error") -> list[NetChoice]:
    """The test nets of a SolverParameter: every test_net_param, every test_net, then ``net`` for each test_iter left.

    :raises SolverError: test_iter, test_state or test_interval do not fit the number of nets.
    """
    if param.HasField("net") and param.HasField("net_param"):
        raise SolverError("Both net_param and net are given.", remedy="Keep one of them.")
    generic = [(name, getattr(param, name)) for name in ("net_param", "net") if param.HasField(name)]
    named = [(name, net) for name in ("test_net_param", "test_net") for net in getattr(param, name)]
    spare = len(param.test_iter) - len(named)
    if spare < 0 or (spare > 0 and not generic):
        raise SolverError(
            f"test_iter is given {len(param.test_iter)} time(s) for {len(named)} test nets.",
            remedy="Specify test_iter once for each test net.",
        )
    nets = named + generic * spare
    if param.test_state and len(param.test_state) != len(nets):
        raise SolverError(
            f"test_state is given {len(param.test_state)} time(s) for {len(nets)} test nets.",
            remedy="Specify it never or once per test net.",
        )
    if nets and param.test_interval <= 0:
        raise SolverError(f"test_interval is {param.test_interval}.", remedy="It must be above 0 with a test net.")
    states = param.test_state or [pb.NetState()] * len(nets)
    return [_choose(name, net, pb.TEST, state, unknown) for (name, net), state in zip(nets, states)]


def _choose(field: str, net: Any, phase: int, own: Any, unknown: str) -> NetChoice:
    """The net in ``field``. Its state is the phase, overridden by the net's own state, overridden by the solver's;
    stages add up."""
    if isinstance(net, str):
        net_param, source = read_net(net, unknown=unknown), net
    else:
        net_param, source = pb.NetParameter(), None
        net_param.CopyFrom(net)
        upgrade_net(net_param)
    state = pb.NetState(phase=phase)
    state.MergeFrom(net_param.state)
    state.MergeFrom(own)
    return NetChoice(net_param, state, field, source)
