"""Is fine-tuning better than training from scratch? Paired differences of two arms of a run of the study.

python tools/paired_differences.py RUN conv1-ip1 scratch

RUN is the folder of ``caffe-port study run interfaces``. For every measure in millimetres and every size of the
training set: the mean over test regions of the first arm's error minus the second's, with a 95 % interval of a
bootstrap over the test patients (exams). Where a size has several random subsets (``--fractions 0.1 --draws 10``), the
errors of a region are averaged over them first, and the last column counts the subsets in which the first arm was
better.
"""

from __future__ import annotations

import argparse
import sys
from collections import defaultdict
from pathlib import Path
from typing import Any

import numpy as np

sys.path.insert(0, str(Path(__file__).resolve().parent.parent))

from caffe_port.errors import CaffeError
from caffe_port.study.folder import RunFolder, read_record, read_table
from caffe_port.study.interfaces.errors import MEASURES
from caffe_port.study.statistics.bootstrap import bootstrap, difference, weighted_mean


def subsets(arms: dict[str, Any], first: str, second: str) -> dict[str, list[str]]:
    """By size of the training set ("1", "0.1"), the subsets ("", "@0.1", "@0.1~2") that both arms were trained on."""
    found = defaultdict(list)
    for name in arms:
        arm, sign, rest = name.partition("@")
        if arm == first and second + sign + rest in arms:
            found[rest.partition("~")[0] or "1"].append(sign + rest)
    return dict(found)


def main() -> None:
    """Print a table; status 1 with a message when the run is not what it should be."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("run", help="folder of a run")
    parser.add_argument("first", help="an arm, such as conv1-ip1")
    parser.add_argument("second", help="another one, such as scratch")
    parser.add_argument("--draws", type=int, default=10_000, help="of the bootstrap (default 10000)")
    args = parser.parse_args()
    try:
        compare(RunFolder(args.run), args.first, args.second, args.draws)
    except CaffeError as error:
        sys.exit(f"paired_differences: {error}")


def compare(folder: RunFolder, first: str, second: str, draws: int) -> None:
    """Print one line for every measure and size.

    :raises CaffeError: the folder holds no results.
    """
    arms = (read_record(folder.metrics, ("arms",)) or {"arms": {}})["arms"]
    patients = {row["case"]: row["patient"] for row in read_table(folder.cases, ("case", "patient"))}
    sizes = subsets(arms, first, second)
    if not sizes:
        raise CaffeError(f"No training set has both {first} and {second}.", file=folder.metrics)
    print(f"{first} minus {second}, mm: mean difference over test regions, 95 % interval by patient")
    for size, names in sizes.items():
        for measure in MEASURES:
            errors = [
                [arms[arm + subset][measure]["per_roi"] for subset in names] for arm in (first, second)
            ]  # arm, subset, region
            regions = list(errors[0][0])
            values = np.array([[[of[region] for region in regions] for of in each] for each in errors])
            found = bootstrap(
                difference(*(weighted_mean(each.mean(axis=0)) for each in values)),
                [patients[region] for region in regions],
                draws=draws,
            )
            better = int((values[0].mean(axis=1) < values[1].mean(axis=1)).sum())
            print(
                f"{size:>6}  {measure:26} {found.estimate:+.4f} [{found.low:+.4f}, {found.high:+.4f}]"
                f"  {len(regions)} regions, better in {better} of {len(names)} subsets"
            )


if __name__ == "__main__":
    main()
