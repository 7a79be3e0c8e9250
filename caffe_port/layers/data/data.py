"""Data: labelled images from LMDB or LevelDB."""

from __future__ import annotations

from typing import Any

from caffe_port.data.database import open_database
from caffe_port.data.prefetch import BatchSource
from caffe_port.data.sources import DatumSource
from caffe_port.layers.base import LayerContext
from caffe_port.layers.data.base import PrefetchingDataLayer
from caffe_port.layers.registry import register
from caffe_port.proto import pb
from caffe_port.proto.upgrade import TRANSFORM_FIELDS


@register("Data", v1="DATA")
class Data(PrefetchingDataLayer):
    """Records of a database in the order of their keys, epoch after epoch, transformed as transform_param says.

    Tops: images (batch_size, C, H, W), where crop_size replaces H and W, and, if there is a second top, labels
    (batch_size,). Every batch takes the shape of its first record. In a training of several processes each record goes
    to one of them. An encoded record is decoded with its own channels unless force_color or force_gray is set.
    data_param's rand_skip and force_encoded_color have no effect, as in Caffe. Caffe: data_layer.cpp.

    Deviates from Caffe: random crops and mirrors have its distribution, not its numbers.
    """

    TOPS = (1, 2)
    INTERLEAVED = True

    def __init__(self, layer_param: Any, context: LayerContext) -> None:
        super().__init__(layer_param, context)
        param = layer_param.data_param
        self.check(bool(param.source), "data_param has no source.", "Name the database's folder.")
        self._stream = self.stream(param.batch_size)
        self.warn_without_effect(param, TRANSFORM_FIELDS, "set it in transform_param.")
        self.warn_without_effect(param, ["force_encoded_color"], "use transform_param { force_color: true }.")
        self.warn_without_effect(param, ["rand_skip"], "the processes of a training share out the records instead.")

    def open_source(self) -> BatchSource:
        param = self.layer_param.data_param
        database = open_database(param.source, pb.DataParameter.DB.Name(param.backend))
        return DatumSource(database, self.transformer(), self._stream)
