from __future__ import annotations

import gc
import random
import threading
import time
import weakref

import pytest
import torch

from caffe_port.data.prefetch import BatchSource, Prefetcher, Stream
from caffe_port.errors import DataError


class Squares(BatchSource):
    """Batch b is b squared; records what was read, and takes its time."""

    def __init__(self, fail_at=None, fail_in="prepare"):
        self.reads = []
        self.fail = (fail_in, fail_at)

    @property
    def shapes(self):
        return [(1,)]

    def read(self, batch):
        self.reads.append(batch)
        if self.fail == ("read", batch):
            raise DataError(f"cannot read {batch}.")
        return batch

    def prepare(self, batch, raw):
        time.sleep(random.random() / 500)
        if self.fail == ("prepare", batch):
            raise DataError(f"cannot prepare {batch}.")
        return batch * raw

    def finish(self, prepared, like):
        return (torch.tensor([prepared]),)


@pytest.fixture(autouse=True)
def _no_others():
    """Threads of nets that other tests have left to the collector."""
    gc.collect()


def alive():
    return [t for t in threading.enumerate() if t.name.startswith("prefetch")]


def until(condition):
    end = time.time() + 5
    while not condition():
        assert time.time() < end, "waited too long"
        time.sleep(0.002)


@pytest.mark.parametrize("workers", [1, 2, 4])
@pytest.mark.parametrize("start", [0, 100])
def test_in_order(workers, start):
    source = Squares()
    prefetcher = Prefetcher(source, start, 4, workers)
    assert [prefetcher.get() for _ in range(50)] == [b * b for b in range(start, start + 50)]
    assert prefetcher.position == start + 50
    prefetcher.close()
    assert source.reads == list(range(start, start + len(source.reads)))


def test_not_farther_ahead_than_depth():
    source = Squares()
    prefetcher = Prefetcher(source, 0, 3, 8)
    until(lambda: len(source.reads) == 3)
    time.sleep(0.05)
    assert len(source.reads) == 3
    prefetcher.get()
    until(lambda: len(source.reads) == 4)
    prefetcher.close()


@pytest.mark.parametrize("where", ["read", "prepare"])
@pytest.mark.parametrize("workers", [1, 3])
def test_an_exception_reaches_the_consumer_in_its_turn(where, workers):
    prefetcher = Prefetcher(Squares(fail_at=5, fail_in=where), 0, 4, workers)
    assert [prefetcher.get() for _ in range(5)] == [0, 1, 4, 9, 16]
    with pytest.raises(DataError, match=f"cannot {where} 5"):
        prefetcher.get()
    assert not alive()
    with pytest.raises(RuntimeError, match="closed"):
        prefetcher.get()


def test_close_ends_the_threads():
    prefetcher = Prefetcher(Squares(), 0, 4, 2)
    prefetcher.get()
    assert len(alive()) == 2
    prefetcher.close()
    prefetcher.close()
    assert not alive()


def test_threads_end_with_the_prefetcher_and_let_go_of_the_source():
    source = Squares()
    gone = weakref.ref(source)
    prefetcher = Prefetcher(source, 0, 4, 2)
    prefetcher.get()
    del source, prefetcher
    gc.collect()
    until(lambda: not alive())
    assert gone() is None


def test_items_are_dealt_out_among_processes():
    streams = [Stream(4, 0, "data", rank, 3) for rank in range(3)]
    assert list(streams[1].items(0)) == [1, 4, 7, 10]
    together = sorted(item for stream in streams for batch in range(5) for item in stream.items(batch))
    assert together == list(range(60))
