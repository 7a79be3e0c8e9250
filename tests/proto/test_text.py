"""Prototxt text: what C++ protobuf accepts, what it refuses, and how it prints."""

from __future__ import annotations

import math
import re
import time
import warnings

import pytest
from google.protobuf import text_format

from caffe_port.errors import CaffeWarning, FormatError, UnknownFieldError
from caffe_port.proto.schema import pb
from caffe_port.proto.text import format_float32, format_text, parse_text
from tests.shared import ORACLE

NETS = sorted((ORACLE / "layers").glob("*.prototxt")) + sorted((ORACLE / "upgrade").glob("*[!r].*.prototxt"))


def net(text, **options):
    return parse_text(text, pb.NetParameter, **options)


def layer(text, **options):
    return parse_text(text, pb.LayerParameter, **options)


def refusal(text, message_class=pb.NetParameter, kind=FormatError):
    """The error, and its (line, column)."""
    with pytest.raises(kind) as caught:
        parse_text(text, message_class, file="a.prototxt")
    return str(caught.value), (caught.value.line, caught.value.column)


@pytest.mark.parametrize("path", NETS, ids=lambda path: path.name)
def test_equals_protobufs_own_parser(path):
    text = path.read_text()
    message_class = pb.SolverParameter if path.name.startswith("solver") else pb.NetParameter
    assert parse_text(text, message_class) == text_format.Parse(text, message_class())


def test_there_are_nets_to_compare():
    assert len(NETS) > 100


class TestGrammar:
    def test_empty(self):
        assert net("") == net(b" \n# nothing\n") == pb.NetParameter()

    @pytest.mark.parametrize(
        "text",
        [
            "layer { name: 'a' top: 't' }",
            'layer: { name: "a", top: "t"; }',
            "layer < name: 'a' top: 't' >;",
            "layer:<name:'a';top:'t'>",
            "layer [ { name: 'a' top: ['t'] } ]",
            "layer: [ < name: 'a' top: 't' > ],",
            "layer{name:'a'#c\ntop:'t'}#end",
            "layer\r\n{\r\n\tname:\v'a'\f top:'t'}",
        ],
    )
    def test_ways_to_write_a_message(self, text):
        assert net(text) == pb.NetParameter(layer=[pb.LayerParameter(name="a", top=["t"])])

    def test_lists(self):
        assert net("input: ['a', \"b\"] input: 'c' input_dim: [] input_dim: [1, 2] layer: [] layer [{}, {}]") == (
            pb.NetParameter(input=["a", "b", "c"], input_dim=[1, 2], layer=[pb.LayerParameter()] * 2)
        )

    def test_an_empty_message_is_present(self):
        assert layer("convolution_param {}").HasField("convolution_param")

    @pytest.mark.parametrize(
        ("text", "place", "cause"),
        [
            ("layer {\n  name 'a'\n}", (2, 8), "expected ':' after 'name'"),
            ("layer {\n  name: 'a'\n", (1, 1), "'layer' is never closed"),
            ("name: 'a'\n}", (2, 1), "expected a field name in NetParameter, found '}'"),
            ("layer { > }", (1, 9), "expected a field name or '}'"),
            ("layer < name: 'a' }", (1, 19), "expected a field name or '>'"),
            ("layer: 'a'", (1, 8), "expected '{' after 'layer'"),
            ("input: ['a' 'b', ]", (1, 18), "another value of 'input'"),
            ("input: ['a'; 'b']", (1, 12), "expected ',' or ']'"),
            ("name: ['a']", (1, 7), "expected a string for 'name'"),
            ("name: 'a' name: 'b'", (1, 11), "'name' is specified multiple times"),
            ("state {} state {}", (1, 10), "'state' is specified multiple times"),
            ("name: 'a',,", (1, 11), "expected a field name"),
            ("name: 'a", (1, 7), "not closed on its line"),
            ("name: 'a\n'", (1, 7), "not closed on its line"),
            ("name:", (1, 6), "found the end of the file"),
            ("name: a", (1, 7), "expected a string"),
            ("1: 2", (1, 1), "expected a field name"),
            ("name: 'a' \u3000", (1, 11), "unexpected character"),
            ("name: 'a' \x01", (1, 11), "unexpected character"),
        ],
    )
    def test_refused(self, text, place, cause):
        message, found = refusal(text)
        assert cause in message
        assert found == place
        assert message.startswith(f"a.prototxt:{place[0]}:{place[1]}")

    def test_names_the_layer(self):
        message, _ = refusal("layer { name: 'c1' type: 'Convolution' convolution_param { num_output: 'x' } }")
        assert "layer 'c1' (Convolution)" in message

    def test_required_fields(self):
        assert layer("clip_param { min: -1 max: 1 }").clip_param.max == 1
        message, place = refusal("clip_param { min: -1 }", pb.LayerParameter)
        assert "lacks its required field 'max'" in message
        assert place == (1, 1)


class TestEncodings:
    @pytest.mark.parametrize(
        "data",
        [
            "name: 'n'  # 网络".encode("gbk"),
            "name: 'n'  # \xe9t\xe9".encode("latin-1"),
            b"\xef\xbb\xbfname: 'n'",
            "name: 'n'".encode("utf-16"),
            b"\xfe\xff" + "name: 'n'".encode("utf-16-be"),
            "name: 'n' # \U0001f600".encode(),
            b"# \x80\xff\xfe\nname: 'n'",
        ],
    )
    def test_files(self, data):
        with warnings.catch_warnings():
            warnings.simplefilter("error")
            assert net(data).name == "n"

    def test_utf8_strings(self):
        assert net("name: '网络'".encode()).name == "网络"
        assert net(r"name: '\347\275\221'").name == "网"

    def test_other_strings_are_latin1_with_a_warning(self):
        with pytest.warns(CaffeWarning, match=r"n.prototxt:2:7: .*'name'.*not UTF-8"):
            assert net(b"\nname: 'caf\xe9'", file="n.prototxt").name == "café"

    @pytest.mark.parametrize("data", [b"name: 'a\0'", b"a\nb\0", b"\x0a\x05lenet\xa2\x06\x00"])
    def test_binary(self, data):
        message, place = refusal(data)
        assert "looks like a binary file" in message
        nul = data.index(b"\0")
        assert place == (data[:nul].count(b"\n") + 1, nul - data.rfind(b"\n", 0, nul))

    def test_broken_utf16(self):
        assert "UTF-16" in refusal(b"\xff\xfen")[0]

    def test_columns_count_characters(self):
        assert refusal("\ufeffname: '网络' nam: 1".encode())[1] == (1, 12)


class TestStrings:
    @pytest.mark.parametrize(
        ("text", "value"),
        [
            (r"'a\n\t\r\\\'\"\?'", "a\n\t\r\\'\"?"),
            (r'"\a\b\f\v"', "\a\b\f\v"),
            (r"'\101\60\x41\x4a\X4Bz'", "A0AJKz"),
            (r"'\1012'", "A2"),
            (r"'\u7f51\U0001F600'", "网\U0001f600"),
            (r"'\ud83d\ude00'", "\U0001f600"),
            ("'a' \"b\"\n # c\n 'c'", "abc"),
            ("'it\"s' \"it's\"", "it\"sit's"),
            ("'# no comment'", "# no comment"),
            ("''", ""),
        ],
    )
    def test_values(self, text, value):
        assert net(f"name: {text}").name == value

    @pytest.mark.parametrize("escape", [r"\q", r"\xg", r"\u12", r"\U00110000", r"\U1234567"])
    def test_bad_escapes(self, escape):
        message, place = refusal(f"name: 'ab{escape}'")
        assert "invalid escape sequence" in message
        assert place == (1, 7)

    def test_bytes(self):
        assert parse_text(rb"data: '\377\x00a' '" + b"\xfe'", pb.Datum).data == b"\xff\0a\xfe"


class TestNumbers:
    @pytest.mark.parametrize(
        ("text", "value"),
        [
            ("7", 7),
            ("-7", -7),
            ("- 7", -7),
            ("0x1F", 31),
            ("-0XfF", -255),
            ("017", 15),
            ("0", 0),
            ("2147483647", 2**31 - 1),
            ("-2147483648", -(2**31)),
            ("0x7fffffff", 2**31 - 1),
        ],
    )
    def test_int32(self, text, value):
        assert net(f"input_dim: {text}").input_dim == [value]

    @pytest.mark.parametrize("text", ["2147483648", "-2147483649", "0x80000000", "9" * 5000, "-" + "9" * 50])
    def test_int32_range(self, text):
        message, place = refusal(f"input_dim: {text}")
        assert "out of range for 'input_dim': -2147483648 to 2147483647" in message
        assert place == (1, 12)
        assert len(message) < 300

    def test_other_ranges(self):
        solver = parse_text("random_seed: -9223372036854775808", pb.SolverParameter)
        assert solver.random_seed == -(2**63)
        assert "out of range" in refusal("random_seed: 9223372036854775808", pb.SolverParameter)[0]
        assert parse_text("num_output: 4294967295", pb.ConvolutionParameter).num_output == 2**32 - 1
        assert "out of range" in refusal("num_output: 4294967296", pb.ConvolutionParameter)[0]
        message, _ = refusal("num_output: -1", pb.ConvolutionParameter)
        assert "-1 is out of range for 'num_output': 0 to 4294967295" in message

    @pytest.mark.parametrize("text", ["1.0", "1f", "'1'", "true", "+1", "--1", "1e3", "-"])
    def test_not_an_integer(self, text):
        assert "expected an integer for 'input_dim'" in refusal(f"input_dim: {text}")[0]

    @pytest.mark.parametrize("text", ["08", "1.2.3", "3px", "0x", "0xg", "1e", "1.5e+", "1_000", "0b1", "5f5"])
    def test_not_a_number(self, text):
        assert "is not a number" in refusal(f"power: {text}", pb.PowerParameter)[0]

    @pytest.mark.parametrize(
        ("text", "value"),
        {
            **{
                "1.": 1.0,
                ".5": 0.5,
                "-.5": -0.5,
                "1e3": 1000.0,
                "1.5E-3": 0.0015,
                "2f": 2.0,
                "2.5F": 2.5,
                "1e2f": 100.0,
            },
            **{"3": 3.0, "-3": -3.0, "0": 0.0, "18446744073709551616": 2.0**64, "1" + "0" * 30: 1e30, "1e-60": 0.0},
            **{"inf": math.inf, "-Inf": -math.inf, "INFINITY": math.inf, "-infinity": -math.inf},
            **{"1e40": math.inf, "-1e999": -math.inf},
        }.items(),
    )
    def test_floats(self, text, value):
        assert parse_text(f"power: {text}", pb.PowerParameter).power == pytest.approx(value, rel=1e-7)

    @pytest.mark.parametrize("text", ["nan", "NaN", "-nan"])
    def test_nan(self, text):
        assert math.isnan(parse_text(f"power: {text}", pb.PowerParameter).power)

    @pytest.mark.parametrize("text", ["0x10", "010", "'1'", "true", "+1", "infinit"])
    def test_not_a_float(self, text):
        assert "expected a decimal number" in refusal(f"power: {text}", pb.PowerParameter)[0]

    @pytest.mark.parametrize("text", ["true", "True", "t", "1", "0x1", "01"])
    def test_true(self, text):
        assert net(f"force_backward: {text}").force_backward is True

    @pytest.mark.parametrize("text", ["false", "False", "f", "0", "0x0", "00"])
    def test_false(self, text):
        message = net(f"force_backward: {text}")
        assert message.HasField("force_backward")
        assert message.force_backward is False

    @pytest.mark.parametrize("text", ["TRUE", "yes", "2", "'true'", "-1", "1.0", "0x10"])
    def test_not_a_boolean(self, text):
        assert "expected true or false" in refusal(f"force_backward: {text}")[0]


class TestEnums:
    def test_by_name_and_number(self):
        assert layer("phase: TEST").phase == layer("phase: 1").phase == layer("phase: 0x1").phase == pb.TEST

    @pytest.mark.parametrize("text", ["TEST1", "2", "-1", "test", "9" * 30, "-" + "9" * 30])
    def test_unknown_value(self, text):
        message, place = refusal(f"phase: {text}", pb.LayerParameter)
        assert "unknown value" in message
        assert "Known: TRAIN, TEST" in message
        assert place == (1, 8)

    def test_nearest_value(self):
        assert "Did you mean AVE?" in refusal("pool: AVG", pb.PoolingParameter)[0]

    def test_type_of_the_other_layer_form(self):
        assert "types in quotes belong to 'layer'" in refusal("layers { type: 'Data' }")[0]
        assert "Put it in quotes" in refusal("layer { type: DATA }")[0]


class TestUnknownFields:
    def test_nearest_name(self):
        message, place = refusal("layer {\n  convolution_param { num_outputs: 2 }\n}", kind=UnknownFieldError)
        assert "unknown field 'num_outputs' in ConvolutionParameter" in message
        assert "Did you mean 'num_output'?" in message
        assert place == (2, 23)

    def test_belongs_inside(self):
        assert "It belongs inside pooling_param" in refusal("global_pooling: true", pb.LayerParameter)[0]

    def test_the_other_kind_of_file(self):
        assert "this looks like a solver" in refusal("base_lr: 1")[0]
        assert "this looks like a net" in refusal("layer {}", pb.SolverParameter)[0]

    @pytest.mark.parametrize(
        "value",
        [
            ": 1",
            ": -inf",
            ": 'a' \"b\"",
            ": X",
            ": 1.5;",
            " { a { b: [1, 2] } }",
            ": < a: 1 >",
            ": [{ a: 1 }, { b: 2 }],",
        ],
    )
    def test_skipped_with_a_warning(self, value):
        with pytest.warns(CaffeWarning, match=r"n.prototxt:1:1: unknown field 'mystery' in NetParameter") as caught:
            message = net(f"mystery{value} name: 'n'", file="n.prototxt", unknown="warn")
        assert message == pb.NetParameter(name="n")
        assert len(caught) == 1

    def test_one_warning_for_each_name_and_message(self):
        with pytest.warns(CaffeWarning) as caught:
            net("x: 1 y: 1 layer { x: 1 } x: 2 layer { x: { x: 3 } }", unknown="warn")
        assert [str(one.message).split(":")[0] for one in caught] == [f"line 1, column {n}" for n in (1, 6, 19)]

    @pytest.mark.parametrize("value", ["", " 1", ": }", ": {", ": { ]", ": [ { ] }", ": -'a'", " [1]"])
    def test_must_be_well_formed_even_when_skipped(self, value):
        with pytest.warns(CaffeWarning), pytest.raises(FormatError):
            net("mystery" + value, unknown="warn")

    def test_any_depth(self):
        deep = "a { " * 100_000 + "}" * 100_000
        with pytest.warns(CaffeWarning):
            assert net(deep, unknown="warn") == pb.NetParameter()
        with pytest.warns(CaffeWarning), pytest.raises(FormatError, match="never closed"):
            net("a: [ { " * 100_000, unknown="warn")
        with pytest.raises(UnknownFieldError):
            net(deep)

    def test_unknown_must_be_a_known_word(self):
        with pytest.raises(ValueError, match="error"):
            net("", unknown="ignore")


@pytest.mark.parametrize("piece", [b"x", b"\xff\xc3", b"'", b"a:1 ", b"{", b"#", b"9", b"\\", b"name: 'a' #", b" \n"])
def test_megabytes_of_garbage_end_soon(piece):
    start = time.monotonic()
    message = ""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        try:
            net(piece * (10_000_000 // len(piece)))
        except FormatError as error:
            message = str(error)
    assert len(message) < 600
    assert time.monotonic() - start < 10


class TestFormat:
    def test_what_caffes_tools_wrote(self):
        for name in ("all_types", "chain", "inputs"):
            text = (ORACLE / "upgrade" / f"{name}.upgraded.prototxt").read_text()
            assert format_text(net(text)) == text

    def test_what_caffes_log_shows(self):
        """Both nets and the solver that real Caffe printed into its log."""
        log = (ORACLE / "logs" / "train_classic.log").read_text()
        blocks = re.findall(r"from parameters: \n(.*?)(?=^I\d{4})", log, re.DOTALL | re.MULTILINE)
        assert len(blocks) == 3
        for block in blocks:
            message_class = pb.SolverParameter if "base_lr" in block else pb.NetParameter
            # glog ends the message with one more newline, which the log may or may not show
            assert format_text(parse_text(block, message_class)) == block.rstrip("\n") + "\n"

    @pytest.mark.parametrize(
        ("value", "text"),
        [
            (0.01, "0.01"),
            (1.0, "1"),
            (1e-8, "1e-08"),
            (0.1 + 1e-8, "0.100000009"),
            (16777216.0, "16777216"),
            (1e10, "1e+10"),
            (math.inf, "inf"),
            (-math.inf, "-inf"),
            (math.nan, "nan"),
            (1 / 3, "0.333333343"),
            (-0.0, "-0"),
        ],
    )
    def test_floats_as_c_prints_them(self, value, text):
        power = pb.PowerParameter(power=value)
        assert format_float32(power.power) == text
        assert format_text(power) == f"power: {text}\n"

    def test_doubles(self):
        text = format_text(pb.BlobProto(double_data=[0.1, 1 / 3, 1e300, 2]))
        assert text.replace("double_data: ", "").split() == ["0.1", "0.33333333333333331", "1e+300", "2"]

    def test_strings_are_ascii(self):
        assert format_text(pb.NetParameter(name="a\"'\\\n\t\r\x01网")) == (
            'name: "a\\"\\\'\\\\\\n\\t\\r\\001\\347\\275\\221"\n'
        )

    def test_booleans_enums_and_empty_messages(self):
        message = pb.LayerParameter(phase=pb.TEST, propagate_down=[True, False], relu_param=pb.ReLUParameter())
        assert format_text(message) == ("phase: TEST\npropagate_down: true\npropagate_down: false\nrelu_param {\n}\n")
