"""How far interfaces are from the expert's (section VI-D)."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

from caffe_port.study.cases import Row
from caffe_port.study.interfaces.regions import Region

#: Measure in metrics.json -> column of scores.csv.
MEASURES = {
    "lumen_intima_error_mm": "li_error_mm",
    "media_adventitia_error_mm": "ma_error_mm",
    "imt_error_mm": "imt_error_mm",
}


def errors_of(region: Region, found: np.ndarray) -> Row:
    """One row of scores.csv.

    The error of an interface is the mean absolute vertical distance from the expert's trace over the columns of the
    region, thickness (IMT) the mean vertical distance between the interfaces, its error the absolute difference from
    that of the expert. All in millimetres.

    :param found: (2, columns) rows of LI and MA in the image.
    """
    expert = region.traces.both()
    li, ma = (np.abs(found - expert).mean(axis=1) * region.mm).tolist()
    imt, expert_imt = (float((rows[1] - rows[0]).mean() * region.mm) for rows in (found, expert))
    return {
        "roi": region.id,
        "patient": region.patient,
        "li_error_mm": li,
        "ma_error_mm": ma,
        "imt_mm": imt,
        "expert_imt_mm": expert_imt,
        "imt_error_mm": abs(imt - expert_imt),
    }


def measures_of(rows: Sequence[Row]) -> dict[str, Any]:
    """Mean, standard deviation (n - 1) and value by region of each error."""
    measures = {}
    for name, column in MEASURES.items():
        values = {str(row["roi"]): float(row[column]) for row in rows}
        numbers = np.array(list(values.values()))
        sd = float(numbers.std(ddof=1)) if len(numbers) > 1 else 0.0
        measures[name] = {"mean": float(numbers.mean()), "sd": sd, "per_roi": values}
    return measures
