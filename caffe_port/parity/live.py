"""Records made on the spot, by another program that is installed here: OpenCV, or a real Caffe."""

from __future__ import annotations

import subprocess
import sys
import tempfile
from collections.abc import Iterable
from pathlib import Path

import numpy as np

from caffe_port.errors import CaffeError
from caffe_port.net import Net
from caffe_port.parity.record import Arrays, Record, read_npz

#: The stand-alone script of the checkout.
RECORDER = Path(__file__).resolve().parents[2] / "tools" / "record_reference.py"


def inputs_for(net: Net, path: str | Path | None, seed: int) -> Arrays:
    """Values for every input of the net: those in the ``.npz`` file ``path``, or normally distributed random numbers.

    :param path: holds arrays by input name, or under ``input/<name>``.
    :raises CaffeError: the file cannot be read or lacks an input.
    """
    if not net.inputs:
        raise CaffeError("has no inputs.", file=net.source, remedy="Give the net with Input layers (deploy.prototxt).")
    if path is None:
        random = np.random.default_rng(seed)
        return {name: random.standard_normal(net.blob_shapes[name], np.float32) for name in net.inputs}
    given = {key.removeprefix("input/"): value for key, value in read_npz(path).items()}
    missing = [name for name in net.inputs if name not in given]
    if missing:
        raise CaffeError(f"lacks the input '{missing[0]}'.", file=path, remedy=f"Store it as input/{missing[0]}.")
    return {name: given[name] for name in net.inputs}


def record_opencv(net: Net, prototxt: str | Path, weights: str | Path, inputs: Arrays) -> Record:
    """What OpenCV's dnn module computes: the first top of every layer that it keeps.

    (It keeps no splits; further tops, which it hands out on request, do not hold what its next layers read.)

    :param net: the same net, for the names of layers and tops.
    :raises CaffeError: this OpenCV no longer reads Caffe's files, or refuses the net.
    """
    import cv2

    if not hasattr(cv2.dnn, "readNetFromCaffe"):
        raise CaffeError(
            f"OpenCV {cv2.__version__} does not read Caffe nets any more.",
            remedy="Compare with a version below 5: pip install 'opencv-python-headless<5'.",
        )
    try:
        other = cv2.dnn.readNetFromCaffe(str(prototxt), str(weights))
        other.enableFusion(False)
        for name, value in inputs.items():
            other.setInput(value, name)
        known = set(other.getLayerNames())
        names: dict[int, str] = {}
        for index, node in enumerate(net.nodes):  # it calls some layers by their top
            own = [node.name, *(top for top in node.tops if top not in node.bottoms)] if node.tops else []
            for name in own[::-1]:
                if name in known:
                    names[index] = name
        results = other.forward(list(names.values()))
    except cv2.error as error:
        raise CaffeError(f"OpenCV {cv2.__version__} refuses it: {error.err}.", file=prototxt) from None
    blobs = {net.nodes[index].tops[0]: value for index, value in zip(names, results)}
    return Record(inputs=inputs, blobs=blobs, source=f"OpenCV {cv2.__version__}")


def record_caffe(
    prototxt: str | Path,
    weights: str | Path | None,
    inputs: Arrays,
    phase: str = "TEST",
    backward: bool = False,
    python: str = sys.executable,
) -> Record:
    """What a real Caffe computes, in a process of its own, for its errors end the process.

    :param python: the interpreter that can import it.
    :raises CaffeError: there is no Caffe, it is caffe_port under that name, or it fails.
    """
    if not RECORDER.is_file():
        raise CaffeError(
            "is not here.", file=RECORDER, remedy="Run from a checkout, or record with it and --reference."
        )
    name = _run([python, "-c", "import caffe; print(caffe.__name__)"], "import caffe").split()[-1:]
    if name != ["caffe"]:
        raise CaffeError(f"The caffe of {python} is caffe_port itself.", remedy="Name a Python with BVLC Caffe.")
    with tempfile.TemporaryDirectory() as folder:
        given, made = Path(folder, "inputs.npz"), Path(folder, "reference.npz")
        np.savez(given, **{f"input/{key}": value for key, value in inputs.items()})  # type: ignore[arg-type]
        command = [python, RECORDER, prototxt, *([weights] if weights is not None else []), "--phase", phase]
        command += ["--inputs", given, "--params", "-o", made, *(["--backward"] if backward else [])]
        _run(command, "record with Caffe")
        record = Record.read(made)
    record.source = f"Caffe of {python}"
    return record


def _run(command: Iterable[object], what: str) -> str:
    words = [str(word) for word in command]
    try:
        result = subprocess.run(words, capture_output=True, text=True, check=False)
    except OSError as error:
        raise CaffeError(f"{words[0]} cannot be run: {error.strerror}.") from None
    if result.returncode:
        said = (result.stderr.strip().splitlines() or [f"status {result.returncode}"])[-1]
        raise CaffeError(f"{words[0]} cannot {what}: {said}.", remedy="Try the same without caffe-port.")
    return result.stdout
