"""What is publicly known of data sets and weights: the manifests in ``data_manifests/``, fetching and verifying."""

from caffe_port.manifests.fetch import Fetched, fetch
from caffe_port.manifests.read import load, load_all, read_manifest
from caffe_port.manifests.records import LEFT_OUT, File, Labels, Layout, Manifest, Split
from caffe_port.manifests.verify import Finding, verify

__all__ = [
    "LEFT_OUT",
    "Fetched",
    "File",
    "Finding",
    "Labels",
    "Layout",
    "Manifest",
    "Split",
    "fetch",
    "load",
    "load_all",
    "read_manifest",
    "verify",
]
