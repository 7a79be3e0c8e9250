"""Upgrades of old nets and solvers against what Caffe's own tools wrote."""

from __future__ import annotations

import pytest

from caffe_port.errors import CaffeWarning, FormatError
from caffe_port.proto.schema import pb
from caffe_port.proto.text import format_text, parse_text
from caffe_port.proto.upgrade import (
    SOLVER_TYPES,
    V1_TYPES,
    complete_snapshot_prefix,
    net_needs_upgrade,
    solver_needs_upgrade,
    upgrade_net,
    upgrade_solver,
)
from caffe_port.proto.upgrade_v0 import V0_TYPES
from tests.shared import ORACLE

UPGRADE = ORACLE / "upgrade"


def net(text):
    return parse_text(text, pb.NetParameter)


def refusal(text):
    with pytest.raises(FormatError) as caught:
        upgrade_net(net(text), "n.prototxt")
    assert str(caught.value).startswith("n.prototxt")
    return str(caught.value)


class TestCaffesOwnResults:
    @pytest.mark.parametrize("old", ["chain.v0", "all_types.v1", "inputs.v2old"])
    def test_nets(self, old):
        expected = (UPGRADE / f"{old.split('.')[0]}.upgraded.prototxt").read_text()
        given = net((UPGRADE / f"{old}.prototxt").read_bytes())
        assert net_needs_upgrade(given)
        upgraded = upgrade_net(given)
        assert upgraded is given
        assert upgraded == net(expected)
        assert format_text(upgraded) == expected

    def test_solver(self):
        expected = (UPGRADE / "solver.upgraded.prototxt").read_text()
        given = parse_text((UPGRADE / "solver.old.prototxt").read_bytes(), pb.SolverParameter)
        assert solver_needs_upgrade(given)
        assert format_text(upgrade_solver(given)) == expected

    @pytest.mark.parametrize("name", ["chain", "all_types", "inputs"])
    def test_twice_is_once(self, name):
        text = (UPGRADE / f"{name}.upgraded.prototxt").read_text()
        assert not net_needs_upgrade(net(text))
        assert format_text(upgrade_net(net(text))) == text


class TestV1:
    def test_every_type_has_a_successor(self):
        assert {"NONE", *V1_TYPES} == set(pb.V1LayerParameter.LayerType.keys())

    def test_blobs_survive(self):
        old = pb.NetParameter()
        blob = pb.BlobProto(num=1, channels=1, height=2, width=1, data=[1.5, -2])
        old.layers.add(name="ip", type="INNER_PRODUCT").blobs.extend([blob, pb.BlobProto(data=[3])])
        assert list(upgrade_net(old).layer[0].blobs) == [blob, pb.BlobProto(data=[3])]
        assert not old.layers

    def test_transform_moves_in_every_data_layer_once_one_needs_it(self):
        """Caffe's macro touches both messages of each data layer, so empty ones appear."""
        upgraded = upgrade_net(
            net("layers { name: 'a' type: DATA data_param { crop_size: 7 } } layers { name: 'b' type: IMAGE_DATA }")
        )
        assert upgraded.layer[0].transform_param == pb.TransformationParameter(crop_size=7)
        assert upgraded.layer[0].data_param == pb.DataParameter()
        assert upgraded.layer[1].HasField("transform_param")
        assert upgraded.layer[1].HasField("image_data_param")

    def test_no_transform_without_need(self):
        assert (
            not upgrade_net(net("layers { type: DATA data_param { source: 'x' } }"))
            .layer[0]
            .HasField("transform_param")
        )

    def test_specs_of_unequal_length(self):
        layer = upgrade_net(
            net("layers { type: CONVOLUTION blobs_lr: [1, 2] param: 'w' weight_decay: [0, 1, 3] }")
        ).layer[0]
        assert list(layer.param) == [
            pb.ParamSpec(name="w", lr_mult=1, decay_mult=0),
            pb.ParamSpec(lr_mult=2, decay_mult=1),
            pb.ParamSpec(decay_mult=3),
        ]

    def test_refusals(self):
        message = refusal("layers { name: 'a' type: RELU } layer { name: 'b' type: 'ReLU' }")
        assert "already specifies 'layer' fields" in message
        assert "layer 'x': unknown layer type NONE" in refusal("layers { name: 'x' type: NONE }")
        assert "layer 'x': the layer has no type" in refusal("layers { name: 'x' }")


class TestV0:
    def test_every_type_has_a_successor(self):
        """The 24 names of the V0 era (upgrade_proto.cpp), to V1 enum values."""
        assert len(V0_TYPES) == 24
        for name in V0_TYPES.values():
            assert name in V1_TYPES

    def test_blobs_survive(self):
        old = pb.NetParameter(input=["d"])
        blob = pb.BlobProto(num=1, channels=1, height=1, width=2, data=[1, 2])
        connection = old.layers.add(bottom=["d"], top=["i"])
        connection.layer.CopyFrom(pb.V0LayerParameter(name="i", type="innerproduct", num_output=2, blobs=[blob]))
        layer = upgrade_net(old).layer[0]
        assert layer.type == "InnerProduct"
        assert list(layer.blobs) == [blob]

    def test_padding_folds_into_each_reader(self):
        upgraded = upgrade_net(
            net("""input: 'd' input_dim: [1, 1, 5, 5] force_backward: true
            layers { layer { name: 'p' type: 'padding' pad: 2 } bottom: 'd' top: 'p' }
            layers { layer { name: 'c' type: 'conv' num_output: 1 kernelsize: 3 pad: 1 } bottom: 'p' top: 'c' }
            layers { layer { name: 'q' type: 'pool' kernelsize: 3 pool: STOCHASTIC } bottom: 'p' top: 'q' }""")
        )
        assert [layer.name for layer in upgraded.layer] == ["input", "c", "q"]
        assert [list(layer.bottom) for layer in upgraded.layer] == [[], ["d"], ["d"]]
        assert upgraded.layer[1].convolution_param.pad == [2]
        assert upgraded.layer[2].pooling_param == pb.PoolingParameter(
            pad=2, kernel_size=3, pool=pb.PoolingParameter.STOCHASTIC
        )
        assert upgraded.force_backward

    def test_transform_fields_of_any_layer(self):
        """Caffe moves scale, meanfile, cropsize and mirror without asking for the type."""
        upgraded = upgrade_net(
            net("layers { layer { name: 'i' type: 'images' source: 's' cropsize: 3 meanfile: 'm' } }")
        )
        assert upgraded.layer[0].transform_param == pb.TransformationParameter(crop_size=3, mean_file="m")

    def test_misplaced_parameter_warns(self):
        with pytest.warns(CaffeWarning, match="layer 'r' .*unknown parameter num_output for layer type relu"):
            layer = upgrade_net(net("layers { layer { name: 'r' type: 'relu' num_output: 3 } }")).layer[0]
        assert layer == pb.LayerParameter(name="r", type="ReLU")

    @pytest.mark.parametrize(
        ("text", "cause"),
        [
            ("layers { layer { name: 'x' type: 'convolution' } }", "unknown layer type 'convolution'"),
            ("layers { layer { name: 'x' } }", "unknown layer type ''"),
            ("layers { layer { name: 'x' type: 'relu' } bottom: 'b' }", "unknown blob input 'b'"),
            ("layers { layer { name: 'x' type: 'relu' } } layers { name: 'y' type: RELU }", "mixes"),
            ("layers { layer { name: 'x' type: 'conv' } blobs_lr: 1 }", "sets blobs_lr beside its 'layer'"),
            ("layers { layer { name: 'x' type: 'images' new_height: -1 } }", "new_height cannot be -1"),
        ],
    )
    def test_refusals(self, text, cause):
        assert cause in refusal(text)

    @pytest.mark.parametrize(
        ("reader", "padding", "cause"),
        [
            ("type: 'relu' } bottom: 'p'", "bottom: 'd' top: 'p'", "non-convolutional / non-pooling layer type relu"),
            ("type: 'conv' } bottom: 'p' bottom: 'd'", "bottom: 'd' top: 'p'", "takes a single blob as input"),
            ("type: 'conv' } bottom: 'p'", "bottom: 'd' bottom: 'd' top: 'p'", "padding layer takes a single blob"),
            ("type: 'conv' } bottom: 'p'", "bottom: 'd' top: 'p' top: 'q'", "padding layer takes a single blob"),
        ],
    )
    def test_padding_refusals(self, reader, padding, cause):
        text = f"input: 'd' layers {{ layer {{ type: 'padding' pad: 1 }} {padding} }} layers {{ layer {{ {reader} }}"
        assert cause in refusal(text)


class TestInputs:
    def test_shapes_win_over_dims(self):
        with pytest.warns(CaffeWarning, match="input_dim beside input_shape"):
            upgraded = upgrade_net(net("input: 'a' input_shape { dim: 3 } input_dim: [1, 2, 3, 4]"))
        assert upgraded.layer[0].input_param == pb.InputParameter(shape=[pb.BlobShape(dim=[3])])
        assert not upgraded.input_dim

    def test_weights_of_old_caffe_have_inputs_without_shape(self):
        assert upgrade_net(net("input: 'a' layer { name: 'l' type: 'ReLU' }")) == net(
            "layer { name: 'l' type: 'ReLU' }"
        )

    def test_comes_first(self):
        upgraded = upgrade_net(net("layer { name: 'l' } layer { name: 'm' } input: 'a' input_dim: [1, 2, 3, 4]"))
        assert [layer.name for layer in upgraded.layer] == ["input", "l", "m"]

    @pytest.mark.parametrize("given", ["input_dim: [1, 2, 3]", "input: 'b' input_shape { dim: 1 }"])
    def test_too_few_shapes(self, given):
        assert "input(s) need" in refusal(f"input: 'a' {given}")

    def test_too_many_shapes(self):
        with pytest.warns(CaffeWarning, match="1 input_dim without effect"):
            upgrade_net(net("input: 'a' input_dim: [1, 2, 3, 4, 5]"))


def test_only_three_batch_norm_params_are_frozen():
    upgraded = upgrade_net(
        net("layer { type: 'BatchNorm' param [{ name: 'm' }, {}, {}] } layer { type: 'BatchNorm' param [{}, {}] }")
    )
    frozen = pb.ParamSpec(lr_mult=0, decay_mult=0)
    assert list(upgraded.layer[0].param) == [pb.ParamSpec(name="m", lr_mult=0, decay_mult=0), frozen, frozen]
    assert list(upgraded.layer[1].param) == [pb.ParamSpec(), pb.ParamSpec()]


class TestSolver:
    def test_every_type(self):
        assert set(SOLVER_TYPES) == set(pb.SolverParameter.SolverType.keys())
        solver = upgrade_solver(parse_text("solver_type: RMSPROP", pb.SolverParameter))
        assert solver == pb.SolverParameter(type="RMSProp")
        assert not solver_needs_upgrade(solver)

    def test_both_types(self):
        with pytest.raises(FormatError, match=r"s.prototxt: old solver_type field .* cannot be both specified"):
            upgrade_solver(parse_text("solver_type: SGD type: 'SGD'", pb.SolverParameter), "s.prototxt")

    def test_embedded_nets(self):
        text = "{ layers { name: 'r' type: RELU } }"
        solver = parse_text(f"net_param {text} train_net_param {text} test_net_param {text}", pb.SolverParameter)
        assert solver_needs_upgrade(solver)
        upgrade_solver(solver)
        for embedded in (solver.net_param, solver.train_net_param, solver.test_net_param[0]):
            assert embedded == net("layer { name: 'r' type: 'ReLU' }")

    def test_snapshot_prefix(self, tmp_path):
        for given, expected in (
            (None, "a/b.c/solver"),
            (str(tmp_path), f"{tmp_path}/solver"),
            (f"{tmp_path}/x", f"{tmp_path}/x"),
            ("", ""),
        ):
            solver = pb.SolverParameter(snapshot_prefix=given)
            complete_snapshot_prefix(solver, "a/b.c/solver.prototxt")
            assert solver.snapshot_prefix == expected
