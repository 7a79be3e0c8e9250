"""The demonstration: a procedural image set, a training, a fine-tuning, their tests and plots."""

from caffe_port.demo.run import DemoResult, run_demo

__all__ = ["DemoResult", "run_demo"]
