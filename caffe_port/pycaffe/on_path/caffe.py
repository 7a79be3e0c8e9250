"""What ``import caffe`` finds in this folder: it puts :mod:`caffe_port.pycaffe` in its own place."""

import importlib
import sys

from caffe_port.alias import install_as_caffe

del sys.modules[__name__]  # or it would pass for another caffe
install_as_caffe()
importlib.import_module(__name__)
