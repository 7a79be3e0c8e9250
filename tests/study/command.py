"""``caffe-port`` that knows the applications of :mod:`tests.study.tiny`: ``python -m tests.study.command study``."""

from __future__ import annotations

from caffe_port.cli.main import main
from caffe_port.study.applications import APPLICATIONS

APPLICATIONS |= {"tiny": "tests.study.tiny", "tiny3": "tests.study.tiny3"}

if __name__ == "__main__":
    main()
