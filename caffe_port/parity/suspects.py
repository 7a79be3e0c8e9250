"""What goes wrong most often with each type of layer when a net is carried from one program to another."""

from __future__ import annotations

_WINDOW = ("pad, stride and dilation (kernel_h and kernel_w in the right order)", "padding at one side only (SAME)")
_LOSS = ("loss_weight", "normalization (VALID, BATCH_SIZE, FULL, NONE; the old 'normalize')", "ignore_label", "axis")

_BY_TYPE: dict[str, tuple[str, ...]] = {
    "BatchNorm": (
        "the scale factor: mean and variance are sums to be divided by the third blob",
        "eps",
        "use_global_stats (statistics of the batch in TRAIN phase)",
        "a Scale layer that was merged into it or lost",
    ),
    "Bias": ("axis",),
    "Concat": ("axis", "the order of the bottoms"),
    "Convolution": (
        "the order of input channels (RGB, BGR)",
        "group",
        "the bias",
        *_WINDOW,
        "filters transposed or flipped",
    ),
    "Crop": ("axis and offset",),
    "Deconvolution": ("group", "weights stored as (inputs, outputs, height, width)", "the bias", *_WINDOW),
    "Dropout": ("the phase: in TEST it passes its bottom unchanged", "scaling by 1 / (1 - dropout_ratio) in TRAIN"),
    "ELU": ("alpha",),
    "Eltwise": ("coeff", "operation"),
    "EuclideanLoss": ("the factor 1/2 and the division by the batch size", "loss_weight"),
    "Flatten": ("the order of axes (Caffe: channel, height, width)",),
    "InnerProduct": (
        "weights transposed (the field 'transpose')",
        "the order in which the bottom was flattened (Caffe: channel, height, width)",
        "axis",
        "the bias",
    ),
    "LRN": ("alpha, which Caffe divides by local_size", "norm_region", "k", "local_size", "beta"),
    "LSTM": ("the order of the gates (Caffe: input, forget, output, cell)", "the indicators of continuation"),
    "MVN": ("across_channels", "normalize_variance", "eps outside the root"),
    "PReLU": ("channel_shared", "the slopes"),
    "Pooling": (
        "rounding of the size: Caffe rounds up (round_mode)",
        "what an average divides by: Caffe counts padding",
        "pad, stride and kernel",
        "pool: MAX or AVE",
    ),
    "Power": ("scale, shift and power",),
    "ReLU": ("negative_slope", "the layer was dropped"),
    "Reshape": ("the order of axes (Caffe: channel, height, width)", "axis and num_axes"),
    "Scale": ("axis and num_axes", "the bias (bias_term)", "factors merged into another layer"),
    "SigmoidCrossEntropyLoss": _LOSS,
    "Slice": ("axis", "slice_point"),
    "Softmax": ("axis",),
    "SoftmaxWithLoss": _LOSS,
}
_INPUT = "preparation of the input: mean, scale, channel order"
_BACKWARD = (
    "loss_weight and the normalization of the loss",
    "propagate_down, force_backward and lr_mult: 0, which decide what gets a diff",
    "gradients that were not cleared before",
)


def usual_suspects(layer_type: str, reads_input: bool, kind: str) -> tuple[str, ...]:
    """What to look at first, the most frequent cause first.

    :param reads_input: the layer reads an input of the net.
    :param kind: of the array that diverges, as in a record's keys.
    """
    if kind == "param":
        return ("other weights than the reference's", "weights transposed, or channels in another order")
    if kind == "param_after":
        return ("moving_average_fraction", "the phase", "how often forward ran before")
    causes = _BACKWARD if kind in ("diff", "param_diff") else _BY_TYPE.get(layer_type, ("its parameters",))
    return (*causes, _INPUT) if reads_input and kind == "blob" else causes
