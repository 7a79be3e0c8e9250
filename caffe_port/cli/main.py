"""The command group, and how errors reach the terminal."""

from __future__ import annotations

import importlib
import sys
import warnings

import click

from caffe_port.errors import CaffeError
from caffe_port.version import __version__

#: command -> the module of this package that holds it, loaded when it is used.
COMMANDS = ("train", "test", "upgrade", "demo")


class LazyGroup(click.Group):
    """A group whose commands are imported when they are asked for."""

    def list_commands(self, ctx: click.Context) -> list[str]:
        """Names in the order of :data:`COMMANDS`."""
        return list(COMMANDS)

    def get_command(self, ctx: click.Context, name: str) -> click.Command | None:
        """The command called ``name``."""
        if name not in COMMANDS:
            return None
        return getattr(importlib.import_module(f"caffe_port.cli.{name}"), name)


@click.group(cls=LazyGroup, context_settings={"help_option_names": ["-h", "--help"]})
@click.version_option(__version__, prog_name="caffe-port")
def group() -> None:
    """Run, train and convert Caffe models on PyTorch, with Caffe's numbers.

    "caffe-port COMMAND --help" explains a command and gives an example.
    """


def main() -> None:
    """Entry point: every foreseeable failure is one line on standard error and exit status 1."""
    warnings.showwarning = lambda message, *_, **__: click.echo(f"caffe-port: warning: {message}", err=True)
    try:
        group(prog_name="caffe-port")
    except CaffeError as error:
        _fail(str(error))
    except OSError as error:
        _fail(f"{error.filename or 'system'}: {error.strerror or error}")
    except MemoryError:
        _fail("not enough memory.")


def _fail(message: str) -> None:
    click.echo(f"caffe-port: error: {message}", err=True)
    sys.exit(1)
