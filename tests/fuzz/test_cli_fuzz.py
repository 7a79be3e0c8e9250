"""Damaged nets, solvers and weights given to ``test``, ``train`` and ``upgrade``: they work or give one clear error."""

from __future__ import annotations

import random
import re
import signal
import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import click
import pytest

from caffe_port.cli.main import group
from caffe_port.errors import CaffeError
from caffe_port.proto import pb
from caffe_port.proto.text import format_text, parse_text
from tests.shared import ORACLE
from tests.solver.make import copy_case

ROUNDS = range(8)
EXAMPLES = 8  # per round
SECONDS = 3.0  # after which a damaged file counts as one that works, only slowly (max_iter: 99)

TOKEN = re.compile(rb"\"[^\"]*\"|[A-Za-z_]\w*|-?[\d.]+(?:e-?\d+)?|[{}:]")
NUMBERS = [b"-1", b"0", b"1", b"2", b"3", b"7", b"64", b"0.5", b"-0.5", b"1e-3", b"1e30", b"nan", b"inf", b"-inf"]
SAMPLES = [
    path.read_bytes()
    for pattern in ("solvers/*/net.prototxt", "solvers/*/solver.prototxt", "layers/*_0.prototxt", "upgrade/*.prototxt")
    for path in sorted(ORACLE.glob(pattern))
]
#: Every word that Caffe's own files use. Not the types of layers that write files.
WORDS = sorted({token for text in SAMPLES for token in TOKEN.findall(text)} - {b'"HDF5Output"'})


INTEGERS = [-100, -2, -1, 0, 1, 2, 3, 4, 5, 7, 8, 64, 100]
FLOATS = [-1.0, 0.0, 0.5, 1.0, 2.0, 1e30, float("nan"), float("inf")]
#: Layers of every type, to be put where they do not belong.
LIBRARY = [
    layer
    for path in sorted((ORACLE / "layers").glob("*.prototxt"))
    for layer in parse_text(path.read_bytes(), pb.NetParameter).layer
    if layer.type != "Input"
]


class TooLong(BaseException):
    """The time of one example is up."""


@contextmanager
def at_most(seconds: float) -> Iterator[None]:
    """Leave the block after so many seconds."""

    def stop(*_: object) -> None:
        raise TooLong

    before = signal.signal(signal.SIGALRM, stop)
    signal.setitimer(signal.ITIMER_REAL, seconds)
    try:
        yield
    except TooLong:
        pass
    finally:
        signal.setitimer(signal.ITIMER_REAL, 0)
        signal.signal(signal.SIGALRM, before)


def damage_text(data: bytes, choose: random.Random) -> bytes:
    """One to three edits: tokens replaced, removed, doubled or swapped, bytes overwritten, the end cut off."""
    for _ in range(choose.randint(1, 3)):
        tokens = list(TOKEN.finditer(data))
        if not tokens:
            return data
        one, other = choose.choice(tokens), choose.choice(tokens)
        head, tail = data[: one.start()], data[one.end() :]
        kind = choose.randrange(8)
        if kind == 0:
            data = head + tail
        elif kind == 1:
            data = head + one[0] + b" " + one[0] + tail
        elif kind == 2:
            data = head + other[0] + tail
        elif kind == 3:
            data = head + choose.choice(WORDS) + tail
        elif kind == 4:
            data = head + bytes([choose.randrange(256)]) + tail
        elif kind == 5 and choose.random() < 0.3:
            data = head
        else:  # numbers are where the traps are
            numbers = [token for token in tokens if token[0][:1] in b"-0123456789"] or tokens
            one = choose.choice(numbers)
            data = data[: one.start()] + choose.choice(NUMBERS) + data[one.end() :]
    return data


def damage_meaning(data: bytes, choose: random.Random) -> bytes:
    """One to three edits that keep the syntax of a net: numbers, wiring, types, whole layers."""
    net = parse_text(data, pb.NetParameter)
    for _ in range(choose.randint(1, 3)):
        layers = list(net.layer)
        layer = choose.choice(layers)
        blobs = [name for each in layers for name in each.top]
        kind = choose.randrange(6)
        if kind == 0 and layer.bottom:
            layer.bottom[choose.randrange(len(layer.bottom))] = choose.choice(blobs)
        elif kind == 1:
            getattr(layer, choose.choice(["bottom", "top"])).append(choose.choice(blobs))
        elif kind == 2:
            layer.type = choose.choice(LIBRARY).type
        elif kind == 3:
            new = pb.LayerParameter()
            new.CopyFrom(choose.choice(LIBRARY))
            place = choose.randint(1, len(layers))
            known = [name for each in layers[:place] for name in each.top] or blobs
            new.bottom[:] = [choose.choice(known) for _ in new.bottom]
            layers.insert(place, new)
            del net.layer[:]
            net.layer.extend(layers)
        else:
            numbers = list(set_numbers(layer))
            if numbers:
                change_number(*choose.choice(numbers), choose)
    return format_text(net).encode()


def set_numbers(message) -> Iterator[tuple]:
    """Every number, truth value and enum that is set in ``message``, however deep: (message, field)."""
    for field, value in message.ListFields():
        if field.message_type is None:
            if field.cpp_type != field.CPPTYPE_STRING:
                yield message, field
        else:
            for part in value if hasattr(value, "append") or hasattr(value, "add") else [value]:
                yield from set_numbers(part)


def change_number(message, field, choose: random.Random) -> None:
    if field.enum_type is not None:
        value = choose.choice(list(field.enum_type.values_by_number))
    elif field.cpp_type == field.CPPTYPE_BOOL:
        value = choose.random() < 0.5
    elif field.cpp_type in (field.CPPTYPE_FLOAT, field.CPPTYPE_DOUBLE):
        value = choose.choice(FLOATS)
    else:
        value = choose.choice(INTEGERS)
        if value < 0 and field.cpp_type in (field.CPPTYPE_UINT32, field.CPPTYPE_UINT64):
            value = -value
    current = getattr(message, field.name)
    if hasattr(current, "append"):
        current[choose.randrange(len(current))] = value
    else:
        setattr(message, field.name, value)


def damage_bytes(data: bytes, choose: random.Random) -> bytes:
    """One to four bytes overwritten, or the end cut off, or a piece taken out."""
    if choose.random() < 0.2:
        return data[: choose.randrange(len(data))]
    if choose.random() < 0.2:
        start = choose.randrange(len(data))
        return data[:start] + data[start + choose.randint(1, 40) :]
    # the messages' heads matter more than the numbers in their blobs
    places = [choose.choice([choose.randrange(len(data)), choose.randrange(400)]) for _ in range(choose.randint(1, 4))]
    changed = bytearray(data)
    for place in places:
        changed[place] = choose.randrange(256)
    return bytes(changed)


def outcome(*arguments: str) -> BaseException | None:
    """None when the command works, or the error that its user sees; every other exception is a failure."""
    with warnings.catch_warnings(), at_most(SECONDS):
        warnings.simplefilter("ignore")
        try:
            group.main(list(arguments), standalone_mode=False)
        except (CaffeError, click.ClickException) as error:
            return error
    return None


@pytest.fixture
def folder(tmp_path, monkeypatch, capfd) -> Path:
    """One of real Caffe's cases as working directory; what the commands print is swallowed."""
    folder = copy_case("sgd_fixed", tmp_path)
    text = (folder / "solver.prototxt").read_text().replace("max_iter: 20", "max_iter: 3 test_iter: 2 test_interval: 2")
    (folder / "solver.prototxt").write_text(text)
    monkeypatch.chdir(folder)
    return folder


def spoiled(folder: Path, name: str, damage, seed: int) -> Iterator[Path]:
    """``name`` damaged in EXAMPLES ways, one after the other; the last state stays in the folder after a failure."""
    whole = (folder / name).read_bytes()
    for example in range(EXAMPLES):
        (folder / name).write_bytes(damage(whole, random.Random(f"{name} {seed} {example}")))
        yield folder / name


@pytest.mark.parametrize("seed", ROUNDS)
@pytest.mark.parametrize("damage", [damage_text, damage_meaning])
def test_damaged_net(folder, damage, seed):
    for path in spoiled(folder, "net.prototxt", damage, seed):
        outcome("test", "--model", "net.prototxt", "--weights", "init.caffemodel", "--iterations", "2")
        outcome("train", "--solver", "solver.prototxt", "--weights", "init.caffemodel")
        outcome("upgrade", str(path), "out.prototxt")


@pytest.mark.parametrize("seed", ROUNDS)
def test_damaged_solver(folder, seed):
    for path in spoiled(folder, "solver.prototxt", damage_text, seed):
        outcome("train", "--solver", "solver.prototxt")
        outcome("upgrade", str(path), "out.prototxt")


@pytest.mark.parametrize("seed", ROUNDS)
def test_damaged_weights(folder, seed):
    for path in spoiled(folder, "init.caffemodel", damage_bytes, seed):
        outcome("test", "--model", "net.prototxt", "--weights", "init.caffemodel", "--iterations", "1")
        outcome("upgrade", str(path), "out.caffemodel")


@pytest.mark.parametrize("seed", ROUNDS)
def test_damaged_state(folder, seed):
    name = "snap_iter_10.solverstate"
    solver = (folder / "solver.prototxt").read_text().replace("max_iter: 3", "max_iter: 12")
    (folder / "solver.prototxt").write_text(solver)
    for _ in spoiled(folder, name, damage_bytes, seed):
        outcome("train", "--solver", "solver.prototxt", "--snapshot", name)


def test_undamaged_files_work(folder):
    """The commands above do run to their end when nothing is wrong."""
    assert outcome("test", "--model", "net.prototxt", "--weights", "init.caffemodel", "--iterations", "2") is None
    assert outcome("train", "--solver", "solver.prototxt", "--weights", "init.caffemodel") is None
    assert (folder / "snap_iter_3.solverstate").is_file()
    assert outcome("train", "--solver", "solver.prototxt", "--snapshot", "snap_iter_3.solverstate") is None
    assert outcome("upgrade", "net.prototxt", "out.prototxt") is None
    assert isinstance(outcome("upgrade", "gone.prototxt", "out.prototxt"), CaffeError)
    assert isinstance(outcome("train", "--solver", "gone.prototxt"), CaffeError)
    assert isinstance(outcome("train"), click.UsageError)
