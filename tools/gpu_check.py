"""Check caffe_port on a GPU against what real Caffe computed, and time the AlexNet training step there.

    python tools/gpu_check.py                         on a machine with a GPU
    python tools/gpu_check.py --device cpu --quick    the same code on the CPU, with a small part of the work

Runs the reference vectors of every layer and solver and the test of Eq. 2 on the device, in single precision without
TF32, and watches that every layer really computes there. Then it times a training step of the paper's AlexNet (forward,
backward, update) against the plain translation into torch modules. The two take turns; the ratio is that of medians.

Exit status: 0; 1 when a comparison fails or, on a GPU and without --quick, the goal is missed; 2 for a wrong command
line. Needs a checkout, installed with its extra "test".
"""

from __future__ import annotations

import argparse
import statistics
import sys
import time
from collections import Counter
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import nn

sys.path.insert(0, str(Path(__file__).resolve().parent.parent))
sys.path.insert(0, str(Path(__file__).resolve().parent))

from benchmarks.alexnet import caffe_alexnet, disagreement, plain_step, random_inputs, translate

from caffe_port import pycaffe
from caffe_port.layers import Layer

ROOT = Path(__file__).resolve().parent.parent

#: What is compared, and the tests that do it.
SUITES = {
    "layers": ROOT / "tests/reference/test_layers.py",
    "solvers": ROOT / "tests/reference/test_solvers.py",
    "Eq. 2": ROOT / "tests/solver/test_eq2.py",
}
QUICK_CASES = 6  #: of each suite, with --quick
GOAL = 1.3  #: plain translation over caffe_port, on a GPU
BATCH, SIZE, REPEATS = 256, 227, 20
QUICK_BATCH, QUICK_SIZE, QUICK_REPEATS = 2, 67, 2
WARM_UP = 3  #: steps of each that do not count


# -- comparisons ------------------------------------------------------------------------------------------------------


class Recorder:
    """A pytest plugin that chooses the cases of the device, and keeps count of them."""

    def __init__(self, device: torch.device, quick: bool) -> None:
        self.device, self.quick = device, quick
        self.outcomes: Counter[str] = Counter()
        self.seconds = 0.0
        self.failures: list[tuple[str, str]] = []

    def pytest_collection_modifyitems(self, items: list[pytest.Item]) -> None:
        """Leave out what another device is asked for, and with --quick most of the rest."""
        chosen = []
        for item in items:
            params = item.callspec.params if hasattr(item, "callspec") else {}
            if params.get("device", self.device.type) == self.device.type:
                chosen.append(item)
        items[:] = chosen[:: max(1, len(chosen) // QUICK_CASES) if self.quick else 1]

    def pytest_runtest_logreport(self, report: pytest.TestReport) -> None:
        """Count one outcome per case; what fails outside the test itself (a fixture) fails the case."""
        self.seconds += report.duration
        if report.failed:
            self._fail(report)
        elif report.when == "call" or report.skipped:
            self.outcomes[report.outcome] += 1

    def pytest_collectreport(self, report: pytest.CollectReport) -> None:
        """A file that cannot be imported is a failure of its suite."""
        if report.failed:
            self._fail(report)

    def _fail(self, report: pytest.TestReport | pytest.CollectReport) -> None:
        self.outcomes["failed"] += 1
        crash = getattr(report.longrepr, "reprcrash", None)
        self.failures.append((report.nodeid, crash.message if crash else report.longreprtext))


@contextmanager
def watch(device: torch.device) -> Iterator[set[str]]:
    """Within, a layer that gives a top on another device fails an assertion. Yields the types of layers that ran."""
    types: set[str] = set()

    def hook(module: nn.Module, _: Any, tops: Any) -> None:
        if isinstance(module, Layer):
            types.add(module.TYPE)
            for top in tops:
                text = f"layer '{module.name}' ({module.TYPE}) computed on {top.device}, not on {device}"
                assert top.device.type == device.type, text

    handle = nn.modules.module.register_module_forward_hook(hook)
    try:
        yield types
    finally:
        handle.remove()


def compare(suites: Mapping[str, Path], device: torch.device, quick: bool) -> bool:
    """Run the tests of ``suites`` on ``device``, print a table and the failures; whether every suite passed, and did
    not consist of nothing."""
    if device.type == "cuda":
        pycaffe.set_device(device.index or 0)
        pycaffe.set_mode_gpu()
    else:
        pycaffe.set_mode_cpu()
    silent = ["-p", "no:terminal", "-p", "no:cacheprovider", "-o", "addopts=", f"--rootdir={ROOT}"]
    columns = ("passed", "failed", "skipped")
    print(f"{'':10}" + "".join(f"{name:>9}" for name in columns) + f"{'seconds':>9}")
    recorders = []
    with watch(device) as types:
        for name, path in suites.items():
            recorders.append(recorder := Recorder(device, quick))
            pytest.main([*silent, str(path)], plugins=[recorder])
            counts = "".join(f"{recorder.outcomes[column]:9}" for column in columns)
            print(f"{name:10}{counts}{recorder.seconds:9.1f}", flush=True)
    print(f"{len(types)} types of layers ran.")
    for name, message in (failure for recorder in recorders for failure in recorder.failures):
        print(f"FAILED {name}\n    " + message.replace("\n", "\n    "))
    return all(recorder.outcomes["passed"] and not recorder.failures for recorder in recorders)


# -- time -------------------------------------------------------------------------------------------------------------


def medians(steps: list[Callable[[], None]], repeats: int, device: torch.device) -> list[float]:
    """The median seconds of each of ``steps``, which take turns."""
    synchronize = torch.cuda.synchronize if device.type == "cuda" else lambda: None
    seconds: list[list[float]] = [[] for _ in steps]
    for turn in range(WARM_UP + repeats):
        for step, record in zip(steps, seconds):
            synchronize()
            start = time.perf_counter()
            step()
            synchronize()
            if turn >= WARM_UP:
                record.append(time.perf_counter() - start)
    return [statistics.median(record) for record in seconds]


def time_alexnet(device: torch.device, batch: int, size: int, repeats: int) -> float:
    """Print the milliseconds of a training step of both nets; plain over caffe_port."""
    inputs = {name: value.to(device) for name, value in random_inputs(batch, size).items()}
    solver = caffe_alexnet(device, inputs)
    plain = translate(solver.net, device)
    apart = disagreement(solver, plain, inputs)
    if not apart < 1e-3:
        raise SystemExit(f"The two nets differ by {apart:g} of their largest score: nothing to time.")
    theirs, ours = medians([plain_step(plain, inputs), lambda: solver.step(1)], repeats, device)
    search = "on" if torch.backends.cudnn.benchmark else "off"
    print(
        f"AlexNet training step, batch {batch} of 3 x {size} x {size}, cudnn.benchmark {search}: "
        f"plain {theirs * 1e3:.1f} ms, caffe_port {ours * 1e3:.1f} ms, ratio {theirs / ours:.2f}"
    )
    return theirs / ours


# -- command line -----------------------------------------------------------------------------------------------------


def describe(device: torch.device) -> str:
    """Device and versions, in one line."""
    if device.type != "cuda":
        return f"CPU, {torch.get_num_threads()} threads, torch {torch.__version__}"
    name = torch.cuda.get_device_name(device)
    return f"{name}, torch {torch.__version__}, CUDA {torch.version.cuda}, cuDNN {torch.backends.cudnn.version()}"


def main() -> int:
    """Check, then time; the exit status."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--device", type=torch.device, default=torch.device("cuda"), help="default: cuda")
    parser.add_argument("--quick", action="store_true", help="a few cases and a small net; the goal is not judged")
    parser.add_argument("--repeats", type=int, help=f"training steps to time, 1 or more (default {REPEATS})")
    parser.add_argument(
        "--cudnn-benchmark",
        action=argparse.BooleanOptionalAction,
        default=True,
        help="let cuDNN try its algorithms before the timing, for both nets (default: yes; never for the comparisons)",
    )
    given = parser.parse_args()
    if given.repeats is not None and given.repeats < 1:
        parser.error("--repeats must be 1 or more.")
    if given.device.type == "cuda":
        if not torch.cuda.is_available():
            parser.error("no usable GPU was found. --device cpu --quick tries the code on the CPU.")
        torch.cuda.set_device(given.device.index or 0)
    torch.backends.cuda.matmul.allow_tf32 = torch.backends.cudnn.allow_tf32 = False
    print(f"{describe(given.device)}; float32, TF32 off", flush=True)
    passed = compare(SUITES, given.device, given.quick)
    torch.backends.cudnn.benchmark = given.cudnn_benchmark
    batch, size, repeats = (QUICK_BATCH, QUICK_SIZE, QUICK_REPEATS) if given.quick else (BATCH, SIZE, REPEATS)
    ratio = time_alexnet(given.device, batch, size, given.repeats or repeats)
    if given.device.type == "cuda" and not given.quick:
        print(f"The goal of {GOAL} is {'reached' if ratio >= GOAL else 'missed'}.")
        passed &= ratio >= GOAL
    return 0 if passed else 1


if __name__ == "__main__":
    sys.exit(main())
