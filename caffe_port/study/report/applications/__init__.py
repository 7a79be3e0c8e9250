"""What is particular to the report of each application, in the order of the paper's sections VI-A to VI-D."""

from __future__ import annotations

from caffe_port.study.report.applications import frames, interfaces
from caffe_port.study.report.applications.application import Application
from caffe_port.study.report.applications.detection import EMBOLISM, POLYPS

APPLICATIONS: dict[str, Application] = {
    "polyps": POLYPS,
    "embolism": EMBOLISM,
    "frames": frames.APPLICATION,
    "interfaces": interfaces.APPLICATION,
}

__all__ = ["APPLICATIONS", "Application"]
