"""Arms side by side: in this process, in several of this machine, or as tasks of a Ray cluster.

A worker is told the folder of the run and the name of an arm, and finds everything else there. What it achieves is seen
in that folder too, which the machines of a cluster must share under one path.
"""

from __future__ import annotations

import contextlib
import csv
import multiprocessing
import os
import signal
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import BrokenExecutor, ProcessPoolExecutor
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import torch

from caffe_port.errors import CaffeError, StudyError
from caffe_port.study.applications import APPLICATIONS, application
from caffe_port.study.arms import Arm
from caffe_port.study.cases import Progress
from caffe_port.study.evaluate import score_arm
from caffe_port.study.folder import RunFolder
from caffe_port.study.prepare import Bars, silent
from caffe_port.study.settings import read_settings
from caffe_port.study.train import Watch, train_arm

#: Seconds between two looks at how far the workers are.
LOOK = 0.5


@dataclass(frozen=True)
class Job:
    """One stage of one arm, in words that another process understands.

    :param stage: ``train`` or ``evaluate``.
    :param module: the module of the application.
    """

    root: str
    application: str
    module: str
    stage: str
    arm: str
    device: str = "cpu"

    def run(self, watch: Watch = lambda done, total, loss: None, bars: Bars = silent) -> str | None:
        """Do it; the error if there was one the user can mend, so that the other arms still run."""
        try:
            self._run(watch, bars)
        except CaffeError as error:
            return str(error)
        return None

    def _run(self, watch: Watch, bars: Bars) -> None:
        APPLICATIONS[self.application] = self.module
        app = application(self.application)
        folder = RunFolder(self.root)
        settings = read_settings(folder.settings, app)
        arm = Arm.parse(self.arm, settings.base.body())
        if self.stage == "train":
            train_arm(folder, app, settings, arm, device=self.device, watch=watch, bars=bars)
        else:
            score_arm(folder, app, settings, arm, device=self.device, bars=bars)


def run_jobs(
    jobs: Sequence[Job],
    *,
    workers: int = 1,
    ray: str | None = None,
    watch: Callable[[str, int, int, float], None] = lambda arm, done, total, loss: None,
    bars: Bars = silent,
) -> None:
    """Run all ``jobs``; one that fails does not keep the others from running.

    :param workers: processes on this machine, which share its threads.
    :param ray: address of a Ray cluster (``auto``: the one that runs, ``local``: one for this call), whose tasks they
        become instead.
    :param watch: of the arm at work, where that is this process; else ``bars`` count arms and epochs.
    :raises StudyError: a job failed; says which and why. Or Ray is not installed.
    """
    if not jobs:
        return
    if ray is not None:
        errors = _on_ray(jobs, ray, bars)
    elif workers > 1:
        errors = _in_processes(jobs, workers, bars)
    else:
        errors = [job.run(lambda *state, arm=job.arm: watch(arm, *state), bars) for job in jobs]  # type: ignore[misc]
    failed = [(job.arm, error) for job, error in zip(jobs, errors) if error is not None]
    if failed:
        others = f" (and {len(failed) - 1} more: {', '.join(arm for arm, _ in failed[1:])})" if failed[1:] else ""
        raise StudyError(f"{failed[0][0]}{others}: {failed[0][1]}")


def _in_processes(jobs: Sequence[Job], workers: int, bars: Bars) -> list[str | None]:
    threads = max(1, (os.cpu_count() or 1) // workers)
    context = multiprocessing.get_context("spawn")
    others = set(multiprocessing.active_children())
    with ProcessPoolExecutor(workers, context, initializer=_start_worker, initargs=(threads,)) as pool:
        with _interrupts_ignored():
            futures = [pool.submit(job.run) for job in jobs]
        try:
            with _counted(jobs, bars) as look:
                while not all(future.done() for future in futures):
                    look()
                    time.sleep(LOOK)
                look()
        except BaseException:  # an interrupt: the pool would wait for its workers
            for process in set(multiprocessing.active_children()) - others:
                process.terminate()
            raise
        try:
            return [future.result() for future in futures]
        except BrokenExecutor as error:
            raise _lost(error) from None


@contextlib.contextmanager
def _interrupts_ignored() -> Iterator[None]:
    """For the moment in which processes begin, which then ignore Ctrl-C: it is this process that ends them."""
    if threading.current_thread() is not threading.main_thread():
        yield  # only the main thread sets handlers, and is interrupted
        return
    former = signal.signal(signal.SIGINT, signal.SIG_IGN)
    try:
        yield
    finally:
        signal.signal(signal.SIGINT, former)


def _start_worker(threads: int) -> None:
    """What a worker does first: take its share of threads, and watch for the end of the process that it works for."""
    torch.set_num_threads(threads)
    parent = multiprocessing.parent_process()
    assert parent is not None

    def end_with_parent() -> None:
        parent.join()
        os._exit(1)

    threading.Thread(target=end_with_parent, daemon=True, name="watch-parent").start()


def _lost(error: Exception) -> StudyError:
    remedy = "Run the same command again: it goes on where they stopped."
    return StudyError(f"The workers stopped: {type(error).__name__}: {error}", remedy=remedy)


def _on_ray(jobs: Sequence[Job], address: str, bars: Bars) -> list[str | None]:
    try:
        import ray
    except ImportError:
        raise StudyError("Ray is not installed.", remedy="Install it with: pip install 'caffe_port[ray]'.") from None
    try:
        ray.init(address=address, log_to_driver=False)
    except Exception as error:  # of many kinds
        raise StudyError(f"Cannot reach the Ray cluster at '{address}': {error}") from None
    try:
        task = ray.remote(num_cpus=1, num_gpus=0 if jobs[0].device == "cpu" else 1)(_ray_job)
        tasks = [task.remote(job) for job in jobs]
        with _counted(jobs, bars) as look:
            waiting: list[Any] = tasks
            while waiting:
                waiting = ray.wait(waiting, num_returns=len(waiting), timeout=LOOK)[1]
                look()
        return list(ray.get(tasks))
    except ray.exceptions.RayError as error:
        raise _lost(error) from None
    finally:
        ray.shutdown()


def _ray_job(job: Job) -> str | None:
    torch.set_num_threads(1)
    own_gpu = job if job.device == "cpu" else replace(job, device="cuda:0")  # Ray shows a task its own GPU only
    return own_gpu.run()


@contextlib.contextmanager
def _counted(jobs: Sequence[Job], bars: Bars) -> Any:
    """A bar over what all workers did: epochs of training, or arms tested; the function to call draws it."""
    training = jobs[0].stage == "train"
    folders = [RunFolder(job.root).arm(job.arm) for job in jobs]
    total = sum(_epochs_to_do(job) for job in jobs) if training else len(jobs)
    with bars(f"{'Training' if training else 'Testing'} {len(jobs)} arms") as progress:
        yield lambda: _count(folders, training, total, progress)


def _epochs_to_do(job: Job) -> int:
    return read_settings(RunFolder(job.root).settings, application(job.application)).training.epochs


def _count(folders: Sequence[Path], training: bool, total: int, progress: Progress) -> None:
    if not training:
        progress(sum((folder / "measures.json").exists() for folder in folders), total)
        return
    progress(
        sum(total // len(folders) if (f / "done.json").exists() else _rows(f / "history.csv") for f in folders), total
    )


def _rows(path: Path) -> int:
    with contextlib.suppress(OSError), open(path, newline="", encoding="utf-8") as file:
        return max(0, sum(1 for _ in csv.reader(file)) - 1)
    return 0
