"""Procedural data for all four applications, to see the whole study before one has images of one's own."""

from __future__ import annotations

from pathlib import Path

from caffe_port.demo import phantoms as interfaces
from caffe_port.errors import DataError
from caffe_port.study.embolism import phantoms as embolism
from caffe_port.study.embolism.volume_files import simpleitk
from caffe_port.study.frames import generator as frames
from caffe_port.study.polyps import phantoms as polyps
from caffe_port.study.prepare import Bars, silent

#: Small, so that the whole study of them takes minutes: images of an exam of the carotid; frames of a video that are
#: labelled, and of one with polyps, and their sizes; voxels of a chest (z, y, x), and their side in mm.
IMAGES = 1
FRAMES, FRAME_SIZE = 6, (320, 224)
POLYP_FRAMES, POLYP_FRAME_SIZE = 8, (200, 160)
CHEST, SPACING = (64, 72, 80), 1.25


def write_phantom_data(folder: Path, patients: int, seed: int = 0, bars: Bars = silent) -> None:
    """Write data of ``patients`` (exams, videos) for each application, in folders of ``folder`` that have their names.

    :raises DataError: there is something in ``folder``, fewer than six patients are asked for, SimpleITK is not
        installed, or a file cannot be written.
    """
    if folder.exists() and any(folder.iterdir()):
        raise DataError("is not empty.", file=folder, remedy="Choose a new folder.")
    if patients < 6:
        raise DataError(f"{patients} patients are too few to train and to test on.", remedy="Ask for 6 or more.")
    simpleitk()  # before anything is written
    with bars("Volumes with emboli") as progress:
        embolism.write_phantoms(folder / "embolism", patients, seed, CHEST, SPACING, progress)
    with bars("Videos with polyps") as progress:
        polyps.write_phantoms(folder / "polyps", patients, POLYP_FRAMES, seed, POLYP_FRAME_SIZE, progress)
    with bars("Informative and other frames") as progress:
        frames.write_frames(folder / "frames", patients, FRAMES, seed, FRAME_SIZE, progress)
    with bars("Carotid arteries") as progress:
        interfaces.write_phantoms(folder / "interfaces", patients, IMAGES, seed)
        progress(patients, patients)
