"""Settings are in setup.cfg; here only what it cannot say: two packages whose folders lie beside caffe_port."""

from setuptools import find_packages, setup

setup(packages=[*find_packages(include=["caffe_port*"]), "caffe_port.prototxt", "caffe_port.data_manifests"])
