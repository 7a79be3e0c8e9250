"""Which nets a solver file asks for (Caffe: solver.cpp, InitTrainNet and InitTestNets)."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from caffe_port.errors import SolverError
from caffe_port.proto import pb
from caffe_port.proto.files import read_net
from caffe_port.proto.upgrade import upgrade_net


@dataclass
class NetChoice:
    """A net with the state it is built for. ``source`` is its file, or None when it stands in the solver itself."""

    net_param: Any
    state: Any
    source: str | None


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
    net_param, source = _load(getattr(param, given[0]), unknown)
    return NetChoice(net_param, _state(pb.TRAIN, net_param, param.train_state), source)


def evaluation_nets(param: Any, unknown: str = "error") -> list[NetChoice]:
    """The test nets of a SolverParameter: every test_net_param, every test_net, then ``net`` for each test_iter left.

    :raises SolverError: test_iter, test_state or test_interval do not fit the number of nets.
    """
    if param.HasField("net") and param.HasField("net_param"):
        raise SolverError("Both net_param and net are given.", remedy="Keep one of them.")
    generic = [getattr(param, name) for name in ("net_param", "net") if param.HasField(name)]
    named = [*param.test_net_param, *param.test_net]
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
    choices = []
    for index, net in enumerate(nets):
        net_param, source = _load(net, unknown)
        own = param.test_state[index] if param.test_state else pb.NetState()
        choices.append(NetChoice(net_param, _state(pb.TEST, net_param, own), source))
    return choices


def _load(net: Any, unknown: str) -> tuple[Any, str | None]:
    if isinstance(net, str):
        return read_net(net, unknown=unknown), net
    copy = pb.NetParameter()
    copy.CopyFrom(net)
    upgrade_net(copy)
    return copy, None


def _state(phase: int, net_param: Any, own: Any) -> Any:
    """The phase, overridden by the net's own state, overridden by the solver's; stages add up."""
    state = pb.NetState(phase=phase)
    state.MergeFrom(net_param.state)
    state.MergeFrom(own)
    return state
