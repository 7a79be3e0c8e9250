"""Flags as Caffe's tools take them (through the gflags library), for click commands."""

from __future__ import annotations

import re
import warnings
from collections.abc import Iterable, Sequence
from typing import Any

import click

from caffe_port.errors import CaffeWarning

#: What Caffe's program takes with any of its commands, whether or not the command looks at it.
CAFFE_FLAGS = (
    "gpu", "solver", "model", "phase", "level", "stage", "snapshot", "weights", "iterations", "sigint_effect",
    "sighup_effect",
)  # fmt: skip

_TRUE = {"1", "t", "true", "y", "yes"}
_FALSE = {"0", "f", "false", "n", "no"}


class GflagsCommand(click.Command):
    """A command whose options may be spelled as gflags allows, so that old shell scripts run.

    One dash or two, ``=`` or a blank before the value, underscores or dashes in the name; for booleans ``--flag``,
    ``--noflag`` and ``--flag=true|false`` (or 1|0, t|f, yes|no, y|n), of which the last counts.
    """

    def parse_args(self, ctx: click.Context, args: list[str]) -> list[str]:
        """Parse ``args`` in either spelling."""
        options = [param for param in self.get_params(ctx) if isinstance(param, click.Option)]
        booleans = [option for option in options if option.is_bool_flag]
        off = {spelling for option in booleans for spelling in option.secondary_opts}
        on = {spelling for option in booleans for spelling in option.opts}
        values = {spelling for option in options if not option.is_flag for spelling in option.opts}
        return super().parse_args(ctx, normalise(args, values, on, off))


class CaffeCommand(GflagsCommand):
    """A command of Caffe's own program: all of :data:`CAFFE_FLAGS` may be given; those without effect are warned of."""

    def __init__(self, *args: Any, **settings: Any) -> None:
        super().__init__(*args, **settings)
        used = {param.name for param in self.params}
        self.params += [
            click.Option([f"--{name}"], hidden=True, expose_value=False, callback=_warn_unused)
            for name in CAFFE_FLAGS
            if name not in used
        ]


def _warn_unused(ctx: click.Context, param: click.Parameter, value: str | None) -> None:
    if value is not None:
        warnings.warn(f"--{param.name} has no effect on '{ctx.command.name}', as in Caffe.", CaffeWarning, stacklevel=2)


def normalise(
    args: Sequence[str], values: Iterable[str], booleans: Iterable[str], negations: Iterable[str] = ()
) -> list[str]:
    """``args`` in the one spelling that click knows: ``--flag``, ``--name=value``.

    Unknown flags get two dashes and are otherwise left to click, which refuses them; so is everything after ``--``.

    :param values: the options that take a value, as declared (``--resize_width``; others, such as ``-h``, are ignored).
    :param booleans: the flags that take none. ``negations`` are the declared spellings of their opposites; a flag
        without one is off when it is not given.
    :raises click.UsageError: a boolean is given a value that is neither true nor false.
    """
    with_value, without, opposites = _by_name(values), _by_name(booleans), _by_name(negations)
    rest: list[str] = []
    states: dict[str, bool] = {}
    queue = iter(args)
    for argument in queue:
        if argument == "--":
            rest += [argument, *queue]
            break
        match = re.fullmatch(r"--?([A-Za-z][^=]+)(?:=(.*))?", argument, re.DOTALL)
        name, value = (_canonical(match[1]), match[2]) if match else ("", None)
        negated = re.sub(r"^no-?", "", name)
        if name in with_value:
            value = next(queue, None) if value is None else value
            rest.append(with_value[name] if value is None else f"{with_value[name]}={value}")
        elif name in without:
            states[name] = value is None or _truth(name, value)
        elif negated != name and negated in without and value is None:
            states[negated] = False
        else:
            rest.append(f"--{argument.lstrip('-')}" if match else argument)
    flags = (without[name] if state else opposites.get(f"no-{name}") for name, state in states.items())
    return [flag for flag in flags if flag] + rest


def _by_name(spellings: Iterable[str]) -> dict[str, str]:
    """The declared spelling of every long option, by its name with dashes."""
    return {_canonical(spelling[2:]): spelling for spelling in spellings if spelling.startswith("--")}


def _canonical(name: str) -> str:
    return name.replace("_", "-")


def _truth(name: str, value: str) -> bool:
    if value.lower() not in _TRUE | _FALSE:
        raise click.UsageError(f"'{value}' is no value of the flag '--{name}': give true or false.")
    return value.lower() in _TRUE
