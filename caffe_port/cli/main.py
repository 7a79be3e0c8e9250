"""The command group, and how errors reach the terminal."""

from __future__ import annotations

import importlib
import sys
import warnings

import click

from caffe_port.errors import CaffeError
from caffe_port.memory import keep_freed_memory
from caffe_port.version import __version__

#: Each is a function of a module of this package, both called like it but with underscores, loaded when it is used.
COMMANDS = (
    "train",
    "test",
    "time",
    "classify",
    "device_query",
    "convert",
    "parity",
    "convert-imageset",
    "compute-image-mean",
    "extract-features",
    "surgery",
    "summarize",
    "draw",
    "upgrade",
    "parse-log",
    "plot-log",
    "data",
    "study",
    "demo",
)


class LazyGroup(click.Group):
    """A group whose commands are imported when they are asked for."""

    def list_commands(self, ctx: click.Context) -> list[str]:
        """Names in the order of :data:`COMMANDS`."""
        return list(COMMANDS)

    def get_command(self, ctx: click.Context, name: str) -> click.Command | None:
        """The command called ``name``; underscores, as in the names of Caffe's own tools, are as good as dashes."""
        module = name.replace("-", "_")
        if module not in (command.replace("-", "_") for command in COMMANDS):
            return None
        return getattr(importlib.import_module(f"caffe_port.cli.{module}"), module)


@click.group(cls=LazyGroup, context_settings={"help_option_names": ["-h", "--help"]})
@click.version_option(__version__, prog_name="caffe-port")
def group() -> None:
    """Run, train and convert Caffe models on PyTorch, with Caffe's numbers.

    "caffe-port COMMAND --help" explains a command and gives an example.
    """


def main() -> None:
    """Entry point: every foreseeable failure is one line on standard error and exit status 1."""
    with warnings.catch_warnings():
        warnings.showwarning = lambda message, *_, **__: click.echo(f"caffe-port: warning: {message}", err=True)
        keep_freed_memory()
        try:
            group(prog_name="caffe-port")
        except CaffeError as error:
            _fail(str(error))
        except OSError as error:
            _fail(f"{error.filename or 'system'}: {error.strerror or error}")
        except (MemoryError, RuntimeError) as error:
            if not _is_out_of_memory(error):
                raise
            _fail("not enough memory. Make the net or its batch_size smaller.")


def _is_out_of_memory(error: Exception) -> bool:
    """Whether memory is all that lacks; PyTorch says so in words (``can't allocate memory``, ``out of memory``)."""
    text = str(error)
    return isinstance(error, MemoryError) or "allocate memory" in text or "out of memory" in text


def _fail(message: str) -> None:
    show_error(message)
    sys.exit(1)


def show_error(message: str) -> None:
    """Show ``message`` on one line; names from damaged files may hold line ends and terminal codes."""
    line = "".join(c if c.isprintable() else c.encode("unicode_escape", "surrogatepass").decode() for c in message)
    click.echo(f"caffe-port: error: {line}", err=True)
