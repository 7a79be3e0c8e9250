"""Training: the loop, update rules, learning rates, snapshots."""

from caffe_port.solver.evaluate import evaluate
from caffe_port.solver.solver import CONTINUE, SNAPSHOT, STOP, Solver

__all__ = ["CONTINUE", "SNAPSHOT", "STOP", "Solver", "evaluate"]
