"""The report of a run, and of the whole study: self-contained pages, ``report/index.html``."""

from caffe_port.study.report.page import write_report
from caffe_port.study.report.whole import write_whole_report

__all__ = ["write_report", "write_whole_report"]
