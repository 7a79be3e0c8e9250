"""The report of a run: one self-contained page, ``report/index.html``."""

from caffe_port.study.report.page import write_report

__all__ = ["write_report"]
