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
import math
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
from torch import Tensor, nn
from torch.nn import functional as F

sys.path.insert(0, str(Path(__file__).resolve().parent.parent))

from caffe_port import Solver, pycaffe
from caffe_port.layers import Layer
from caffe_port.proto import pb
from caffe_port.proto.files import read_net
from caffe_port.proto.text import parse_text
from caffe_port.resources import prototxt

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

SETTINGS = {"base_lr": 0.001, "momentum": 0.9, "weight_decay": 0.0005}


def caffe_alexnet(device: torch.device, inputs: Mapping[str, Tensor]) -> Solver:
    """The solver of the shipped AlexNet, fed with ``inputs`` ("data" and "label") instead of databases."""
    net = read_net(prototxt("alexnet/train_val.prototxt"))
    del net.layer[:2]
    shapes = " ".join("shape { " + " ".join(f"dim: {n}" for n in x.shape) + " }" for x in inputs.values())
    tops = " ".join(f'top: "{name}"' for name in inputs)
    text = f'layer {{ name: "data" type: "Input" {tops} input_param {{ {shapes} }} }}'
    net.layer.insert(0, parse_text(text, pb.NetParameter).layer[0])
    solver = Solver(pb.SolverParameter(net_param=net, lr_policy="fixed", random_seed=1, **SETTINGS), device=device)
    solver.feed = lambda net: inputs
    return solver


def plain_alexnet(features: int, classes: int) -> nn.Sequential:
    """The same net as one writes it with torch's own modules; ``features`` values go into the first linear one."""

    def relu() -> nn.Module:
        return nn.ReLU(inplace=True)

    def norm_and_pool() -> tuple[nn.Module, ...]:
        return nn.LocalResponseNorm(5, alpha=1e-4, beta=0.75, k=1.0), nn.MaxPool2d(3, 2, ceil_mode=True)

    return nn.Sequential(
        *(nn.Conv2d(3, 96, 11, stride=4), relu(), *norm_and_pool()),
        *(nn.Conv2d(96, 256, 5, padding=2, groups=2), relu(), *norm_and_pool()),
        *(nn.Conv2d(256, 384, 3, padding=1), relu()),
        *(nn.Conv2d(384, 384, 3, padding=1, groups=2), relu()),
        *(nn.Conv2d(384, 256, 3, padding=1, groups=2), relu(), nn.MaxPool2d(3, 2, ceil_mode=True), nn.Flatten()),
        *(nn.Linear(features, 4096), relu(), nn.Dropout()),
        *(nn.Linear(4096, 4096), relu(), nn.Dropout()),
        nn.Linear(4096, classes),
    )


def translate(solver: Solver, device: torch.device) -> nn.Sequential:
    """The plain translation of ``solver``'s net, with copies of its weights."""
    net = solver.net
    plain = plain_alexnet(math.prod(net.blob_shapes["pool5"][1:]), net.blob_shapes["fc8"][1]).to(device)
    with torch.no_grad():
        for ours, theirs in zip(net.params, plain.parameters(), strict=True):
            theirs.copy_(ours.blob)
    return plain


def disagreement(solver: Solver, plain: nn.Module, inputs: Mapping[str, Tensor]) -> float:
    """How far apart the scores of the two are without dropout, over the largest of them."""
    with torch.no_grad():
        ours = solver.net.eval().run(inputs)[0]["fc8"]
        theirs = plain.eval()(inputs["data"])
    solver.net.train()
    plain.train()
    return float((ours - theirs).abs().max() / theirs.abs().max())


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
    generator = torch.Generator().manual_seed(1)
    images = 100 * torch.randn(batch, 3, size, size, generator=generator)
    labels = torch.randint(2, (batch,), generator=generator)
    inputs = {"data": images.to(device), "label": labels.float().to(device)}
    classes = labels.to(device)
    solver = caffe_alexnet(device, inputs)
    plain = translate(solver, device)
    apart = disagreement(solver, plain, inputs)
    if not apart < 1e-3:
        raise SystemExit(f"The two nets differ by {apart:g} of their largest score: nothing to time.")
    optimizer = torch.optim.SGD(plain.parameters(), SETTINGS["base_lr"], 0.9, weight_decay=SETTINGS["weight_decay"])

    def plain_step() -> None:
        optimizer.zero_grad()
        F.cross_entropy(plain(inputs["data"]), classes).backward()
        optimizer.step()

    theirs, ours = medians([plain_step, lambda: solver.step(1)], repeats, device)
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
