"""Calliper crosses are found, and nothing else is."""

from __future__ import annotations

import numpy as np

from caffe_port.study.interfaces.callipers import far_from, find_crosses
from caffe_port.study.interfaces.loaders import DATASETS
from caffe_port.study.interfaces.regions import region_of
from tests.shared import IMAGES, needs
from tests.study.interfaces.phantoms import draw_cross, wall

CAROTID = IMAGES / "carotid"
#: Which of the real images have crosses on the wall, seen by eye.
CROSSED = """
    AAAAA AAAAE AAABC AAABD AAABF AAACE AAADC AAAEB AAAEJ AAAEZ AAAFB AAAFH AAAGN AAAGR AAAGY AAAHG AAAMC AAAMG AAAMO
    AAAMS AAANS AAAOF AAAPE
"""


def test_crosses_in_speckle_also_where_they_overlap():
    for seed in range(5):
        image, li, ma = wall(seed)
        assert find_crosses(image).tolist() == []
        places = [(30, int(li[30])), (30, int(ma[30])), (110, 15)]
        for x, y in places:
            draw_cross(image, x, y)
        assert sorted(map(tuple, find_crosses(image).tolist())) == sorted(places)


def test_far_from_is_beyond_the_distance_along_one_axis():
    crosses = np.array([[50, 50]])
    points = np.array([[50, 50], [60, 60], [61, 50], [50, 39], [40, 40]])
    assert far_from(crosses, points, 10).tolist() == [False, False, True, True, False]
    assert far_from(np.empty((0, 2)), points, 10).all()


@needs(CAROTID)
def test_the_real_images():
    found = []
    for case in DATASETS["cyprus"](CAROTID):
        region = region_of(case, {"margin_mm": 1.4, "erase_callipers": True}, 0)
        x, y = region.crosses.T
        near = (y >= region.traces.li.min() - 6) & (y <= region.traces.ma.max() + 6)
        if (near & (x >= region.columns[0]) & (x <= region.columns[-1])).any():
            found.append(case.id)
    assert found == CROSSED.split()
