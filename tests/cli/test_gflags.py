"""The spellings that gflags allows reach click as it knows them."""

from __future__ import annotations

import json
import re

import click
import pytest
from click.testing import CliRunner

from caffe_port.cli.gflags import GflagsCommand, normalise


@click.command(cls=GflagsCommand)
@click.option("--resize_width", default=0)
@click.option("--gpu", default="")
@click.option("--gray", is_flag=True)
@click.option("--sync/--no-sync", default=True)
@click.option("-q", "--quick", is_flag=True)
@click.argument("files", nargs=-1)
def echo(**given):
    click.echo(json.dumps(given))


def run(*args):
    result = CliRunner().invoke(echo, args)
    assert result.exit_code == 0, result.output
    given = json.loads(result.output)
    return {**given, "files": tuple(given["files"])}


def outcome(**changed):
    default = {"resize_width": 0, "gpu": "", "gray": False, "sync": True, "quick": False, "files": ()}
    return {**default, **changed}


@pytest.mark.parametrize(
    "args", [["-resize_width=256"], ["--resize_width=256"], ["-resize_width", "256"], ["--resize_width", "256"],
             ["--resize-width", "256"], ["-resize-width=256"], ["--resize_width=1", "--resize_width=256"]]
)  # fmt: skip
def test_values(args):
    assert run(*args, "a", "b") == outcome(resize_width=256, files=("a", "b"))
    assert run("a", *args, "b") == outcome(resize_width=256, files=("a", "b"))


def test_a_value_may_look_like_anything():
    assert run("-gpu", "-1")["gpu"] == "-1"
    assert run("-gpu", "--gray") == outcome(gpu="--gray")
    assert run("--gpu=a=b c")["gpu"] == "a=b c"
    assert run("--gpu=") == outcome()
    assert run("--resize_width=-7")["resize_width"] == -7


@pytest.mark.parametrize(
    ("args", "gray"),
    [
        (["-gray"], True),
        (["--gray"], True),
        (["--gray=true"], True),
        (["-gray=1"], True),
        (["--gray=YES"], True),
        (["--gray=false"], False),
        (["-gray=0"], False),
        (["--gray=n"], False),
        (["--nogray"], False),
        (["-nogray"], False),
        (["--gray", "--nogray"], False),
        (["--nogray", "--gray"], True),
    ],
)
def test_booleans(args, gray):
    assert run(*args, "file") == outcome(gray=gray, files=("file",))


def test_a_boolean_takes_no_separate_value():
    assert run("--gray", "false") == outcome(gray=True, files=("false",))


@pytest.mark.parametrize("off", ["--nosync", "-nosync", "--no-sync", "--sync=false", "--no_sync"])
def test_a_flag_that_is_on(off):
    assert run(off) == outcome(sync=False)
    assert run(off, "-sync") == outcome()


def test_short_options_and_the_end_of_options():
    assert run("-q", "--", "-gray", "x") == outcome(quick=True, files=("-gray", "x"))
    assert run("a", "-", "b") == outcome(files=("a", "-", "b"))


@pytest.mark.parametrize("args", [["-help"], ["--help"]])
def test_help(args):
    assert "--resize_width" in CliRunner().invoke(echo, args).output


@pytest.mark.parametrize(
    ("args", "message"),
    [
        (["--gray=maybe"], "'maybe' is no value of the flag '--gray'"),
        (["-resise_width=3"], r"No such option:? '?--resise_width"),
        (["--nogpu"], r"No such option:? '?--nogpu"),
        (["--nogray=true"], r"No such option:? '?--nogray"),
        (["-resize_width"], "Option '--resize_width' requires an argument"),
        (["-resize_width=wide"], "'wide' is not a valid integer"),
    ],
)
def test_refused(args, message):
    result = CliRunner().invoke(echo, args)
    assert result.exit_code == 2
    assert re.search(message, result.output)


def test_normalise_keeps_the_order_of_arguments():
    args = ["a", "-x_y", "1", "b", "-flag", "--x-y=2", "c"]
    assert normalise(args, ["--x-y"], ["--flag"]) == ["--flag", "a", "--x-y=1", "b", "--x-y=2", "c"]
