"""A sheet of test frames: the outlines of polyps, the candidates' boxes, and what a net says of each."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import cv2
import numpy as np

from caffe_port.study.cases import Case
from caffe_port.study.polyps.working import mask_at_width, read_frame, to_width

#: Frames in a row, and the width of each in pixels.
_COLUMNS, _WIDTH = 4, 320
#: Height of the line above each row.
_LINE = 26
_LEGEND = "green: a hit, red: a false candidate; probability by the net (by the detector)"
_WHITE, _BLACK, _GREEN, _RED = (255, 255, 255), (0, 0, 0), (80, 220, 60), (60, 60, 230)


def telling(cases: Sequence[Case]) -> dict[str, list[Case]]:
    """A few of ``cases`` under three headings, by the scores of the candidate detector; as many videos as there are.

    :return: heading -> frames; no frame stands under two.
    """
    with_polyps = [case for case in cases if case.lesions]
    orders = {
        "Polyps that the detector is surest of": sorted(with_polyps, key=lambda case: -_best(case, hits=True)),
        "Polyps that it finds least, or not": sorted(with_polyps, key=lambda case: _best(case, hits=True)),
        "Its strongest false candidates": sorted(cases, key=lambda case: -_best(case, hits=False)),
    }
    taken: set[str] = set()
    chosen = {}
    for heading, ordered in orders.items():
        firsts = {case.patient: case for case in reversed(ordered) if case.id not in taken}
        chosen[heading] = [case for case in ordered if firsts.get(case.patient) is case][:_COLUMNS]
        taken |= {case.id for case in chosen[heading]}
    return chosen


def sheet(chosen: Mapping[str, Sequence[Case]], scores: Mapping[tuple[str, str], float]) -> bytes:
    """A PNG with a row of frames under each heading.

    Polyps are outlined in white. Boxes are green where a candidate hits a polyp and red where not, each with the net's
    probability and, in brackets, the detector's.

    :param scores: the net's probabilities by case and candidate.
    """
    rows = []
    for heading, cases in chosen.items():
        if cases:
            rows.append(_row(heading, [_tile(case, scores) for case in cases]))
    return cv2.imencode(".png", np.concatenate(rows))[1].tobytes()


def _best(case: Case, hits: bool) -> float:
    """The score of its likeliest candidate that hits a polyp, or that hits none."""
    return max((candidate.score for candidate in case.candidates if bool(candidate.lesion) is hits), default=-np.inf)


def _row(heading: str, tiles: Sequence[np.ndarray]) -> np.ndarray:
    height = max(len(tile) for tile in tiles)
    image = np.full((_LINE + height, _COLUMNS * _WIDTH, 3), 255, np.uint8)
    for text, x in (heading, 6), (_LEGEND, 2 * _WIDTH + 6):
        cv2.putText(image, text, (x, _LINE - 8), cv2.FONT_HERSHEY_SIMPLEX, 0.5, _BLACK, 1, cv2.LINE_AA)
    for number, tile in enumerate(tiles):
        image[_LINE : _LINE + len(tile), number * _WIDTH : (number + 1) * _WIDTH] = tile
    return image


def _tile(case: Case, scores: Mapping[tuple[str, str], float]) -> np.ndarray:
    frame = read_frame(case)
    scale = _WIDTH / frame.shape[1]
    tile = to_width(frame, _WIDTH)
    polyps = mask_at_width(case, _WIDTH).astype(np.uint8)
    outlines, _ = cv2.findContours(polyps, cv2.RETR_EXTERNAL, cv2.CHAIN_APPROX_NONE)
    cv2.drawContours(tile, outlines, -1, _WHITE, 1, cv2.LINE_AA)
    for candidate in reversed(case.candidates):  # the likeliest on top
        left, top, width, height = (round(scale * value) for value in candidate.info["box"])
        colour = _GREEN if candidate.lesion else _RED
        cv2.rectangle(tile, (left, top), (left + width - 1, top + height - 1), colour, 1)
        text = f"{scores[case.id, candidate.id]:.2f} ({candidate.score:.2f})"
        at = (min(left + 3, _WIDTH - 90), top + 14)
        cv2.rectangle(tile, (at[0] - 2, at[1] - 11), (at[0] + 82, at[1] + 3), _BLACK, cv2.FILLED)
        cv2.putText(tile, text, at, cv2.FONT_HERSHEY_SIMPLEX, 0.4, colour, 1, cv2.LINE_AA)
    return tile
