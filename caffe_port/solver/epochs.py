"""Epochs as iterations: Eq. 2 of Tajbakhsh et al. 2016 in terms of Caffe's learning rate policies."""

from __future__ import annotations

from caffe_port.errors import SolverError


def epoch_steps(samples: int, batch: int, epochs: int) -> list[int]:
    """The first iteration of each of ``epochs`` epochs but the first: ceil(k |X| / N) for k = 1 ... epochs - 1.

    As the ``stepvalue`` of the policy "multistep" they give exactly Eq. 2's gamma^floor(t N / |X|), t being the number
    of updates applied so far, where "step" can only if |X| / N is whole. The last entry for ``epochs + 1`` is the
    ``max_iter`` that sees every sample ``epochs`` times.

    :param samples: |X|, the number of training samples.
    :param batch: N, the samples that one update sees: batch_size times iter_size (times the processes).
    :raises SolverError: a number below 1, or N above |X|: "multistep" passes one value per iteration at most.
    """
    for name, value in (("samples", samples), ("batch", batch), ("epochs", epochs)):
        if value < 1:
            raise SolverError(f"{name} is {value}.", remedy="It must be 1 or more.")
    if batch > samples:
        raise SolverError(
            f"A batch of {batch} is more than an epoch of {samples} samples.",
            remedy="Lower batch_size: the learning rate can fall only once per iteration.",
        )
    return [-(-k * samples // batch) for k in range(1, epochs)]
