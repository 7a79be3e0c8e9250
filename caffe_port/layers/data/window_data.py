"""WindowData: random windows of images, as R-CNN trains on."""

from __future__ import annotations

from typing import Any

from caffe_port.data.prefetch import BatchSource
from caffe_port.data.windows import WindowSource
from caffe_port.layers.base import LayerContext
from caffe_port.layers.data.base import PrefetchingDataLayer
from caffe_port.layers.registry import register

CROP_MODES = ("warp", "square")


@register("WindowData", v1="WINDOW_DATA")
class WindowData(PrefetchingDataLayer):
    """Windows drawn at random from the R-CNN window file ``source``, warped to crop_size x crop_size.

    Tops: windows (batch_size, 3, crop_size, crop_size) and labels (batch_size,), 0 for background. A window is
    foreground when its overlap is at least fg_threshold, background when it is less than bg_threshold. Each batch has
    int(batch_size * fg_fraction) foreground windows, after the background ones. context_pad pixels of surroundings
    are kept after the warp; what lies outside the image is 0, that is, the mean. crop_size, mirror and the mean come
    from transform_param, but ``scale`` from window_data_param, as in Caffe. Girshick et al. 2014, appendix A.
    Caffe: window_data_layer.cpp.

    Deviates from Caffe: a missing image is an error, where Caffe serves zeros; an unknown crop_mode too.
    """

    TOPS = (2, 2)

    def __init__(self, layer_param: Any, context: LayerContext) -> None:
        super().__init__(layer_param, context)
        param, crop = layer_param.window_data_param, layer_param.transform_param.crop_size
        self.check(bool(param.source), "window_data_param has no source.", "Name the window file.")
        self.check(crop > 0, "crop_size must be positive.", "Set transform_param { crop_size }.")
        fits = 2 * param.context_pad < crop
        self.check(fits, f"context_pad {param.context_pad} leaves nothing of crop_size {crop}.", "Lower context_pad.")
        modes = f"crop_mode is one of {', '.join(CROP_MODES)}."
        self.check(param.crop_mode in CROP_MODES, f"Unknown crop_mode '{param.crop_mode}'.", modes)
        self.check(0 <= param.fg_fraction <= 1, f"fg_fraction {param.fg_fraction:g} is not in 0 to 1.")
        self._stream = self.stream(param.batch_size)
        moved = ["mean_file", "crop_size", "mirror"]
        self.warn_without_effect(param, moved, "set it in transform_param.")
        self.warn_without_effect(layer_param.transform_param, ["scale"], "set it in window_data_param.")

    def open_source(self) -> BatchSource:
        return WindowSource(self.layer_param.window_data_param, self.transformer(), self._stream)
