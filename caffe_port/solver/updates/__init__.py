"""The update rules, one file each."""

from caffe_port.solver.updates import sgd
from caffe_port.solver.updates.base import UpdateRule, create_rule

__all__ = ["UpdateRule", "create_rule", "sgd"]
