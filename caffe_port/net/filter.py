"""Which layers of a prototxt belong to a net: include and exclude rules (Caffe: net.cpp, FilterNet)."""

from __future__ import annotations

from collections.abc import Iterable
from numbers import Integral
from typing import Any

from caffe_port.errors import NetError
from caffe_port.log import log
from caffe_port.proto import pb

PHASES = {"TRAIN": pb.TRAIN, "TEST": pb.TEST}


def phase_number(phase: str | int) -> int:
    """``"TRAIN"`` or ``"TEST"`` (or their numbers) as the number.

    :raises NetError: anything else.
    """
    number = PHASES.get(phase.upper(), -1) if isinstance(phase, str) else phase
    if number not in PHASES.values():
        raise NetError(f"Unknown phase {phase!r}.", remedy="Use TRAIN or TEST.")
    return int(number)


def net_state(phase: str | int, level: int = 0, stages: Iterable[str] = ()) -> Any:
    """The NetState that include and exclude rules are matched against.

    :raises NetError: ``level`` is no integer, ``stages`` one string rather than several.
    """
    if isinstance(stages, str):
        raise NetError(f"stages is the string {stages!r}.", remedy=f"Give a list: stages=[{stages!r}].")
    if not isinstance(level, Integral):
        raise NetError(f"level is {level!r}.", remedy="Give an integer.")
    return pb.NetState(phase=phase_number(phase), level=int(level), stage=list(stages))


def filter_net(net_param: Any, state: Any) -> Any:
    """A copy of ``net_param`` with the layers that ``state`` (a NetState) keeps; ``state`` is recorded in it.

    :raises NetError: a layer has both include and exclude rules.
    """
    kept = type(net_param)()
    kept.CopyFrom(net_param)
    del kept.layer[:]
    kept.state.CopyFrom(state)
    for layer in net_param.layer:
        if layer.include and layer.exclude:
            raise NetError(
                "Specify either include rules or exclude rules; not both.", layer=layer.name, layer_type=layer.type
            )
        if layer.include:
            included = any(meets(state, rule, layer.name) for rule in layer.include)
        else:
            included = not any(meets(state, rule, layer.name) for rule in layer.exclude)
        if included:
            kept.layer.add().CopyFrom(layer)
    return kept


def meets(state: Any, rule: Any, layer_name: str) -> bool:
    """Whether ``state`` satisfies every condition of ``rule`` (a NetStateRule); the log says which it does not."""
    reason = ""
    if rule.HasField("phase") and rule.phase != state.phase:
        reason = f"phase ({state.phase}) differed from the phase ({rule.phase}) specified by a rule"
    elif rule.HasField("min_level") and state.level < rule.min_level:
        reason = f"level ({state.level}) is below the min_level ({rule.min_level}) specified by a rule"
    elif rule.HasField("max_level") and state.level > rule.max_level:
        reason = f"level ({state.level}) is above the max_level ({rule.max_level}) specified by a rule"
    elif missing := [stage for stage in rule.stage if stage not in state.stage]:
        reason = f"did not contain stage '{missing[0]}' specified by a rule"
    elif unwanted := [stage for stage in rule.not_stage if stage in state.stage]:
        reason = f"contained a not_stage '{unwanted[0]}' specified by a rule"
    if reason:
        log.info("The NetState %s in layer %s", reason, layer_name)
    return not reason
