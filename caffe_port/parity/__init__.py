"""Comparison with what another implementation computed: nets blob by blob, trainings iteration by iteration."""

from caffe_port.parity.compare import compare
from caffe_port.parity.record import Record
from caffe_port.parity.report import Report

__all__ = ["Record", "Report", "compare"]
