"""The ``caffe-port`` program: one file per command, each a thin wrapper over a library function."""
