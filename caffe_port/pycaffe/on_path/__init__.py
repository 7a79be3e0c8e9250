"""A folder for ``sys.path`` or ``PYTHONPATH``, where ``import caffe`` finds caffe_port."""
