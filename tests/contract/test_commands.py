"""What every command must have: help with an example, tests, a place in the README; and Caffe's spelling of flags."""

from __future__ import annotations

import re

import click
import pytest
from click.testing import CliRunner

from caffe_port.cli.gflags import CAFFE_FLAGS, GflagsCommand
from caffe_port.cli.main import COMMANDS, group
from tests.shared import ROOT

#: The commands of Caffe's own program.
CAFFE = ("train", "test", "time", "device_query")


@pytest.fixture(params=COMMANDS)
def name(request):
    return request.param


def command(name):
    found = group.get_command(click.Context(group), name)
    assert found is not None
    return found


def test_no_command_of_caffe_is_missing():
    assert set(CAFFE) <= set(COMMANDS)


def test_help(name):
    result = CliRunner().invoke(group, [name, "--help"])
    assert result.exit_code == 0
    assert result.output.startswith(f"Usage: group {name} ")
    assert len((command(name).help or "").split()) > 3
    for option in command(name).params:
        if isinstance(option, click.Option) and not option.hidden:
            assert option.help, f"{name} {option.opts}"


def test_example(name):
    """It is of this command, and its flags exist. (A group of commands gives one of its own commands.)"""
    epilog = command(name).epilog or ""
    match = re.fullmatch(rf"Example: caffe-port {name} (.+)|Example: caffe-port {name}", epilog)
    assert match, epilog
    used, words = command(name), (match[1] or "").split()
    while isinstance(used, click.Group) and words:
        used = used.commands[words.pop(0)]
    known = {spelling for param in used.params for spelling in (*param.opts, *param.secondary_opts)}
    assert {word.partition("=")[0] for word in words if re.match("--?[a-z]", word)} <= known


def test_short_help_in_the_list_of_commands(name):
    listed = CliRunner().invoke(group, ["--help"]).output
    (line,) = re.findall(rf"^  {name} +(\S.*)$", listed, re.MULTILINE)
    assert line.endswith(".")
    assert not line.endswith("..."), f"'{line}' is cut: give a short_help"


def test_tests(name):
    path = ROOT / "tests" / "cli" / f"test_{name.replace('-', '_')}.py"
    assert "def test_" in path.read_text()


def test_readme(name):
    assert re.search(rf"`caffe-port {name}[ `]", (ROOT / "README.md").read_text())


def test_either_spelling_of_a_name(name):
    for spelling in (name.replace("-", "_"), name.replace("_", "-")):
        assert command(spelling).name == command(name).name


@pytest.mark.parametrize("name", CAFFE)
def test_flags_of_caffe(name):
    """Each is known to each of Caffe's commands, and one dash does."""
    ours = command(name)
    assert isinstance(ours, GflagsCommand)
    options = {param.name: param for param in ours.params}
    assert set(CAFFE_FLAGS) <= set(options)
    values = {"level": "1", "iterations": "2", "phase": "TEST", "sigint_effect": "none", "sighup_effect": "stop"}
    flags = {flag: values.get(flag, "x") for flag in CAFFE_FLAGS}
    for style in ("-{}={}", "--{}={}", "-{} {}", "--{} {}"):
        words = " ".join(style.format(*item) for item in flags.items()).split()
        with pytest.warns() as caught:  # of the flags without effect
            context = ours.make_context(name, words)
        shown = {key: str(value) for key, value in context.params.items() if key in flags}
        assert shown.items() <= flags.items()
        unused = {str(warning.message).split()[0] for warning in caught if "has no effect" in str(warning.message)}
        assert unused == {f"--{flag}" for flag in CAFFE_FLAGS if flag not in shown}
