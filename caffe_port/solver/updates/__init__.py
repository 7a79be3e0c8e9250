"""The update rules, one file each."""

from caffe_port.solver.updates import adadelta, adagrad, adam, nesterov, rmsprop, sgd
from caffe_port.solver.updates.base import UpdateRule, create_rule

__all__ = ["UpdateRule", "adadelta", "adagrad", "adam", "create_rule", "nesterov", "rmsprop", "sgd"]
