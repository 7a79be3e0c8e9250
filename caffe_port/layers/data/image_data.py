"""ImageData: labelled images from a list of files."""

from __future__ import annotations

from typing import Any

from caffe_port.data.prefetch import BatchSource
from caffe_port.data.sources import ImageListSource
from caffe_port.layers.base import LayerContext
from caffe_port.layers.data.base import PrefetchingDataLayer
from caffe_port.layers.registry import register
from caffe_port.proto.upgrade import TRANSFORM_FIELDS


@register("ImageData", v1="IMAGE_DATA")
class ImageData(PrefetchingDataLayer):
    """Images of the list ``source``, whose lines read ``<path> <label>``, transformed as transform_param says.

    Tops: images (batch_size, C, H, W), where crop_size replaces H and W, and labels (batch_size,). Every batch takes
    the shape of its first image. root_folder is put before each path as it is (give it a final slash); new_height and
    new_width resize bilinearly; is_color false reads grey images. shuffle permutes the list anew for every epoch,
    rand_skip starts at a random one of its first rand_skip lines. Caffe: image_data_layer.cpp.

    Deviates from Caffe: random numbers have its distribution, not its values; a malformed line is refused.
    """

    TOPS = (2, 2)

    def __init__(self, layer_param: Any, context: LayerContext) -> None:
        super().__init__(layer_param, context)
        param = layer_param.image_data_param
        self.check(bool(param.source), "image_data_param has no source.", "Name the list of images.")
        both = bool(param.new_height) == bool(param.new_width)
        self.check(both, "new_height and new_width must be set at the same time.", "Set both, or neither.")
        self._stream = self.stream(param.batch_size)
        self.warn_without_effect(param, TRANSFORM_FIELDS, "set it in transform_param.")
        colours = ["force_color", "force_gray"]
        self.warn_without_effect(layer_param.transform_param, colours, "use image_data_param { is_color }.")

    def open_source(self) -> BatchSource:
        return ImageListSource(self.layer_param.image_data_param, self.transformer(), self._stream)
