"""``import caffe`` served by us, in processes of their own."""

from __future__ import annotations

import subprocess
import sys
import textwrap

import pytest

from tests.shared import ORACLE, ROOT

INSTALL = "import caffe_port\ncaffe_port.install_as_caffe()\n"


def python(*arguments, cwd=None):
    return subprocess.run(
        [sys.executable, *map(str, arguments)],
        cwd=cwd,
        env={"PYTHONPATH": str(ROOT)},
        text=True,
        capture_output=True,
    )


def run(text, cwd=None):
    return python("-c", textwrap.dedent(text), cwd=cwd)


def test_every_way_to_import_it():
    result = run(
        INSTALL
        + """
import sys
import caffe, caffe.io, caffe.proto.caffe_pb2, caffe.pycaffe
from caffe import layers as L, params as P, NetSpec
from caffe.proto import caffe_pb2
from caffe.coord_map import crop
from caffe.pycaffe import Net
from caffe._caffe import Blob
import caffe_port.pycaffe, caffe_port.pycaffe.io
assert caffe is caffe_port.pycaffe and caffe.io is caffe_port.pycaffe.io
assert sys.modules["caffe.proto.caffe_pb2"] is caffe_pb2
assert caffe.__name__ == caffe.__spec__.name == "caffe_port.pycaffe"
assert Net is caffe.Net and Blob is caffe.Blob
caffe_port.install_as_caffe()  # once more does no harm
try:
    import caffe.nothing
except ModuleNotFoundError as error:
    print(error)
"""
    )
    assert result.stderr == ""
    assert result.stdout == "No module named 'caffe.nothing'\n"


def test_another_caffe_is_not_replaced(tmp_path):
    (tmp_path / "caffe.py").write_text("real = True\n")
    result = run("import caffe\n" + INSTALL, cwd=tmp_path)
    assert "Another caffe is imported already" in result.stderr
    assert str(tmp_path / "caffe.py") in result.stderr
    assert "before anything imports it" in result.stderr
    result = run(INSTALL + "import caffe\nassert caffe.Net and not hasattr(caffe, 'real')", cwd=tmp_path)
    assert result.returncode == 0, result.stderr


def test_no_clash_with_another_schema_of_that_name():
    """Other importers bring a caffe.proto into protobuf's default pool, before us or after."""
    other = """
from google.protobuf import descriptor_pb2, descriptor_pool
file = descriptor_pb2.FileDescriptorProto(name="caffe.proto", package="caffe")
file.message_type.add(name="NetParameter").field.add(name="other", number=1, type=5, label=1)
descriptor_pool.Default().Add(file)
assert descriptor_pool.Default().FindMessageTypeByName("caffe.NetParameter").fields_by_name.keys() == ["other"]
"""
    ours = (
        INSTALL
        + """
from caffe.proto import caffe_pb2
from google.protobuf import text_format
assert text_format.Merge('name: "n"', caffe_pb2.NetParameter()).name == "n"
"""
    )
    for text in (other + ours, ours + other):
        result = run(text)
        assert result.returncode == 0, result.stderr


SCRIPT = """\
import sys
import caffe
from caffe import layers as L, params as P
from helper import number   # beside the script

print(sys.argv, __name__, number)
net = caffe.Net(sys.argv[1], caffe.TEST)
print(sorted(net.forward()))
"""


def test_a_script_runs_unchanged(tmp_path):
    (tmp_path / "scripts").mkdir()
    (tmp_path / "scripts" / "old.py").write_text(SCRIPT)
    (tmp_path / "scripts" / "helper.py").write_text("number = 7\n")
    model = ORACLE / "data" / "dummy.prototxt"
    result = python("-m", "caffe_port.pycaffe", "scripts/old.py", model, "-x", cwd=tmp_path)
    assert result.returncode == 0, result.stderr
    first, _ = result.stdout.splitlines()
    assert first == f"['scripts/old.py', '{model}', '-x'] __main__ 7"


PARALLEL = """\
import multiprocessing
import caffe

def work(queue):
    queue.put(caffe.__name__)

if __name__ == "__main__":
    for method in ("fork", "spawn", "forkserver"):
        context = multiprocessing.get_context(method)
        queue = context.Queue()
        process = context.Process(target=work, args=(queue,))
        process.start()
        process.join()
        print(process.exitcode, None if process.exitcode else queue.get())
"""


def test_processes_that_a_script_starts_have_it_too(tmp_path):
    (tmp_path / "train.py").write_text(PARALLEL)
    result = python("-m", "caffe_port.pycaffe", "train.py", cwd=tmp_path)
    assert result.stdout == "0 caffe_port.pycaffe\n" * 3, result.stderr


@pytest.mark.parametrize(
    ("arguments", "message"), [((), "usage: "), (("--help",), "usage: "), (("absent.py",), "absent.py: there is no")]
)
def test_without_a_script(arguments, message, tmp_path):
    result = python("-m", "caffe_port.pycaffe", *arguments, cwd=tmp_path)
    assert result.returncode == 1
    assert result.stderr.startswith(message)


def test_exit_status_and_exceptions_are_the_scripts(tmp_path):
    (tmp_path / "a.py").write_text("import sys; sys.exit(5)")
    (tmp_path / "b.py").write_text("import caffe\ncaffe.Net('absent.prototxt', caffe.TEST)")
    assert python("-m", "caffe_port.pycaffe", "a.py", cwd=tmp_path).returncode == 5
    assert "absent.prototxt" in python("-m", "caffe_port.pycaffe", "b.py", cwd=tmp_path).stderr.splitlines()[-1]
