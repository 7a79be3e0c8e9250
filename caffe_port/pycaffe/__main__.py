"""``python -m caffe_port.pycaffe script.py args...`` runs a script whose ``import caffe`` is to be caffe_port's."""

from __future__ import annotations

import runpy
import sys
from pathlib import Path

from caffe_port.alias import install_as_caffe


def main() -> None:
    """Run the script as Python itself would: its folder comes first on sys.path, its arguments are sys.argv."""
    if len(sys.argv) < 2 or sys.argv[1].startswith("-"):
        sys.exit(
            "usage: python -m caffe_port.pycaffe script.py [args...]\n\nRuns script.py with caffe_port as 'caffe'."
        )
    script = Path(sys.argv[1])
    if not script.is_file():
        sys.exit(f"{script}: there is no such script.")
    install_as_caffe()
    del sys.argv[0]
    sys.path[0] = str(script.resolve().parent)
    # for processes that the script starts afresh, as multiprocessing does from Python 3.14 on: they get this path only
    sys.path.insert(1, str(Path(__file__).with_name("on_path")))
    runpy.run_path(str(script), run_name="__main__")


if __name__ == "__main__":
    main()
