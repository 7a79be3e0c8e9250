"""Which nets a solver file asks for."""

from __future__ import annotations

import pytest

from caffe_port.errors import CaffeError, SolverError
from caffe_port.proto import pb
from caffe_port.proto.text import parse_text
from caffe_port.solver.nets import evaluation_nets, train_net

NET = 'name: "%s" layer { name: "in" type: "Input" top: "x" input_param { shape { dim: 1 } } }'


@pytest.fixture
def files(tmp_path, monkeypatch):
    """Nets a.prototxt to d.prototxt in the working directory, named as their files."""
    for name in "abcd":
        (tmp_path / f"{name}.prototxt").write_text(NET % name)
    monkeypatch.chdir(tmp_path)


def solver(text):
    return parse_text(text.encode(), pb.SolverParameter)


def inline(field, name, state=""):
    return f"{field} {{ {NET % name} {state} }} "


def names(text):
    return [(choice.net_param.name, str(choice)) for choice in evaluation_nets(solver(text))]


# -- the training net -------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("field", ["net", "train_net"])
def test_training_net_in_a_file(files, field):
    choice = train_net(solver(f'{field}: "a.prototxt"'))
    assert (choice.net_param.name, choice.source, str(choice)) == ("a", "a.prototxt", f"{field} file: a.prototxt")
    assert choice.state == pb.NetState(phase=pb.TRAIN)


@pytest.mark.parametrize("field", ["net_param", "train_net_param"])
def test_training_net_in_the_solver(field):
    choice = train_net(solver(inline(field, "here")))
    assert (choice.net_param.name, choice.source, str(choice)) == ("here", None, field)


def test_no_training_net(files):
    with pytest.raises(SolverError, match=r"names no training net.*net, net_param, train_net, train_net_param"):
        train_net(solver('test_net: "a.prototxt"'))


@pytest.mark.parametrize(
    "text",
    [
        'net: "a.prototxt" train_net: "b.prototxt"',
        'net: "a.prototxt" ' + inline("net_param", "x"),
        'train_net: "a.prototxt" ' + inline("train_net_param", "x"),
        inline("net_param", "x") + inline("train_net_param", "y"),
    ],
)
def test_two_training_nets(files, text):
    with pytest.raises(SolverError, match=r"one training net too many.*exactly one of net, net_param"):
        train_net(solver(text))


def test_missing_file_is_named(tmp_path):
    with pytest.raises(CaffeError, match=r"absent.prototxt"):
        train_net(solver(f'net: "{tmp_path}/absent.prototxt"'))


def test_nets_in_the_solver_are_upgraded_in_a_copy():
    param = solver("net_param { name: 'old' input: 'x' input_dim: 1 input_dim: 2 input_dim: 3 input_dim: 4 }")
    choice = train_net(param)
    assert choice.net_param.layer[0].type == "Input"
    assert list(param.net_param.input) == ["x"]


def test_unknown_fields_are_passed_on(files, tmp_path):
    (tmp_path / "a.prototxt").write_text(NET % "a" + " bogus: 1")
    with pytest.raises(CaffeError, match="bogus"):
        train_net(solver('net: "a.prototxt"'))
    with pytest.warns(UserWarning, match="bogus"):
        assert train_net(solver('net: "a.prototxt"'), unknown="warn").net_param.name == "a"


# -- the test nets ----------------------------------------------------------------------------------------------------


def test_without_test_iter_there_are_none(files):
    assert names('net: "a.prototxt"') == []


def test_one_generic_net_per_test_iter(files):
    expected = ("a", "net file: a.prototxt")
    assert names('net: "a.prototxt" test_iter: 1 test_iter: 2 test_interval: 1') == [expected, expected]
    assert names(inline("net_param", "x") + "test_iter: 1 test_interval: 1") == [("x", "net_param")]


def test_order_is_params_then_files_then_generic(files):
    text = (
        'test_net: "b.prototxt" test_net: "c.prototxt" net: "a.prototxt" test_interval: 1 '
        + inline("test_net_param", "x")
        + "test_iter: 1 " * 5
    )
    assert names(text) == [
        ("x", "test_net_param"),
        ("b", "test_net file: b.prototxt"),
        ("c", "test_net file: c.prototxt"),
        ("a", "net file: a.prototxt"),
        ("a", "net file: a.prototxt"),
    ]


def test_train_net_with_test_net(files):
    text = 'train_net: "a.prototxt" test_net: "b.prototxt" test_iter: 1 test_interval: 1'
    assert train_net(solver(text)).net_param.name == "a"
    assert names(text) == [("b", "test_net file: b.prototxt")]


@pytest.mark.parametrize(
    "text",
    [
        'train_net: "a.prototxt" test_iter: 1',  # no net to test
        'train_net: "a.prototxt" test_net: "b.prototxt"',  # no test_iter
        'train_net: "a.prototxt" test_net: "b.prototxt" test_iter: 1 test_iter: 1',
        'net: "a.prototxt" test_net: "b.prototxt" test_net: "c.prototxt" test_iter: 1',
        'net: "a.prototxt" test_net: "b.prototxt"',
    ],
)
def test_test_iter_once_for_each_test_net(files, text):
    with pytest.raises(SolverError, match="Specify test_iter once for each test net"):
        names(text + " test_interval: 1")


@pytest.mark.parametrize("interval", ["", "test_interval: 0", "test_interval: -3"])
def test_a_test_net_needs_an_interval(files, interval):
    with pytest.raises(SolverError, match=r"test_interval is .* above 0"):
        names('net: "a.prototxt" test_iter: 1 ' + interval)


@pytest.mark.parametrize("count", [1, 3])
def test_test_state_never_or_once_per_net(files, count):
    text = 'net: "a.prototxt" test_iter: 1 test_iter: 1 test_interval: 1 ' + "test_state { level: 1 } " * count
    with pytest.raises(SolverError, match=f"test_state is given {count} time.*never or once per test net"):
        names(text)


def test_net_and_net_param_together():
    with pytest.raises(SolverError, match="Both net_param and net"):
        evaluation_nets(solver('net: "a.prototxt" ' + inline("net_param", "x")))


# -- states -----------------------------------------------------------------------------------------------------------


def test_states_override_each_other_and_stages_add_up():
    own = "state { phase: TEST level: 2 stage: 'net' }"
    assert train_net(solver(inline("net_param", "x", own))).state == pb.NetState(phase=1, level=2, stage=["net"])
    text = inline("net_param", "x", own) + "train_state { phase: TRAIN level: 5 stage: 'solver' } "
    assert train_net(solver(text)).state == pb.NetState(phase=pb.TRAIN, level=5, stage=["net", "solver"])


def test_each_test_net_has_its_own_state(files):
    text = (
        'net: "a.prototxt" test_iter: 1 test_iter: 1 test_interval: 1 '
        "test_state { level: 1 stage: 'deep' } test_state { stage: 'shallow' } train_state { level: 9 }"
    )
    states = [choice.state for choice in evaluation_nets(solver(text))]
    assert states == [pb.NetState(phase=pb.TEST, level=1, stage=["deep"]), pb.NetState(phase=1, stage=["shallow"])]


def test_levels_and_stages_select_layers():
    layers = """
      layer { name: "in" type: "Input" top: "x" input_param { shape { dim: 1 } } }
      layer { name: "%s" type: "ReLU" bottom: "x" top: "y" include { stage: "deep" min_level: 2 } }
      layer { name: "%s" type: "ReLU" bottom: "x" top: "y" exclude { stage: "deep" min_level: 2 } }"""
    text = "net_param { " + layers % ("inside", "outside") + " } train_state { %s }"
    for state, expected in [("level: 2 stage: 'deep'", "inside"), ("level: 1 stage: 'deep'", "outside")]:
        net = train_net(solver(text % state)).build(seed=1)
        assert [node.name for node in net.nodes] == ["in", expected]


def test_build_names_the_file_at_fault(files, tmp_path):
    (tmp_path / "a.prototxt").write_text('layer { name: "r" type: "ReLU" bottom: "gone" top: "y" }')
    with pytest.raises(CaffeError, match=r"a\.prototxt, layer 'r' \(ReLU\).*gone"):
        train_net(solver('net: "a.prototxt"')).build(seed=1)
