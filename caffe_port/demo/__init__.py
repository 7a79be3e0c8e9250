"""The demonstration: the study in small, on procedural images."""

from caffe_port.demo.run import DemoResult, run_demo

__all__ = ["DemoResult", "run_demo"]
