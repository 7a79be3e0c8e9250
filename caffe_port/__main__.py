"""``python -m caffe_port`` is ``caffe-port``."""

from caffe_port.cli.main import main

if __name__ == "__main__":
    main()
