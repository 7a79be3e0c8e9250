#!/usr/bin/env python
# ruff: noqa: B904, RUF005, UP010, UP024, UP031, C402
"""Record what a Caffe computes, for "caffe-port parity" to compare with.

Copy this one file to where the old Caffe runs (its container, say). It needs pycaffe and numpy, in Python 2.7 or 3.

A net: its inputs, every blob after forward, with --params the learnable blobs, with --backward every diff:

    python record_reference.py deploy.prototxt bvlc_alexnet.caffemodel -o reference.npz
    python record_reference.py deploy.prototxt w.caffemodel --image cat.jpg --mean 104,117,123 --swap 2,1,0 \\
        --raw-scale 255 -o reference.npz
    python record_reference.py train_val.prototxt w.caffemodel --phase TRAIN --backward -o reference.npz

A training: the loss of every iteration, and the learnable blobs before, after the first and after the last:

    python record_reference.py --solver solver.prototxt --weights init.caffemodel --iterations 20 -o expected.npz

Inputs that are not given are random numbers from --seed; labels are --labels label=10 (whole numbers below 10).
Where layers work in-place, a blob holds what the last of them made of it.
"""

from __future__ import print_function

import argparse
import os
import sys
import tempfile

import numpy as np

#: Layers that serve batches; what they served is recorded as input.
DATA_LAYERS = ("Data", "DummyData", "HDF5Data", "ImageData", "MemoryData", "WindowData")


class Trouble(Exception):
    """Something the user can mend; shown on one line."""


def main(arguments=None):
    """Record as the command line says; the exit status."""
    options = parse(arguments)
    try:
        caffe = import_caffe(options.gpu)
        arrays = record_training(caffe, options) if options.solver else record_net(caffe, options)
        write(arrays, options.output)
    except (Trouble, EnvironmentError) as error:
        print("record_reference: error: %s" % error, file=sys.stderr)
        return 1
    print("%s: %d arrays" % (options.output, len(arrays)))
    return 0


def parse(arguments):
    """The command line's options."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    add = parser.add_argument
    add("net", nargs="?", help="net prototxt")
    add("weights_file", nargs="?", metavar="weights", help=".caffemodel; without it fillers make the weights")
    add("-o", "--output", required=True, metavar="FILE.npz", help="file to write, whole or not at all")
    add("--phase", choices=["TEST", "TRAIN"], default="TEST", help="default: TEST")
    add("--params", action="store_true", help="record the learnable blobs too (always without weights)")
    add("--backward", action="store_true", help="run backward and record every diff")
    add("--seed", type=int, default=1, help="of the random inputs, diffs and of Caffe itself; default: 1")
    add("--input", action="append", default=[], metavar="BLOB=FILE.npy", help="values of an input; may be repeated")
    add("--inputs", metavar="FILE.npz", help="values of inputs, by blob name or input/<blob name>")
    add("--labels", action="append", default=[], metavar="BLOB=N", help="an input of random whole numbers below N")
    add("--image", action="append", default=[], metavar="FILE", help="image for the first input; may be repeated")
    add("--mean", metavar="FILE|B,G,R", help="of --image: .npy, .binaryproto or a number per channel, subtracted")
    add("--raw-scale", type=float, metavar="X", help="of --image: multiplied before the mean (images are 0 to 1)")
    add("--scale", type=float, metavar="X", help="of --image: multiplied after the mean")
    add("--swap", metavar="2,1,0", help="of --image: order of channels (2,1,0: RGB images to BGR)")
    add("--gpu", type=int, metavar="ID", help="compute on this GPU; default: the CPU")
    add("--solver", metavar="FILE", help="record a training with this solver prototxt")
    add("--weights", metavar="FILE", help="with --solver: weights to start from")
    add("--iterations", type=int, metavar="N", help="with --solver: how many")
    options = parser.parse_args(arguments)
    if bool(options.net) == bool(options.solver):
        parser.error("give either NET or --solver")
    if options.solver and (options.iterations is None or options.iterations < 1):
        parser.error("--solver needs --iterations, 1 or more")
    if not options.solver and (options.iterations is not None or options.weights):
        parser.error("--iterations and --weights belong to --solver; the weights of a net follow it")
    return options


def import_caffe(gpu):
    """The module, set to the CPU or to a GPU."""
    try:
        import caffe
    except ImportError as error:
        raise Trouble("cannot import caffe (%s). Put Caffe's folder 'python' on PYTHONPATH." % error)
    if gpu is None:
        caffe.set_mode_cpu()
    else:
        caffe.set_device(gpu)
        caffe.set_mode_gpu()
    return caffe


def existing(path):
    """The path, made absolute; Caffe itself would end the process when there is no such file."""
    if not os.path.isfile(path):
        raise Trouble("%s: there is no such file." % path)
    return str(os.path.abspath(path))


# -- a net -------------------------------------------------------------------------------------------------------------


def record_net(caffe, options):
    """Inputs, blobs and whatever else the options ask for, by key."""
    if hasattr(caffe, "set_random_seed"):
        caffe.set_random_seed(options.seed)
    phase = getattr(caffe, options.phase)
    files = [existing(name) for name in (options.net, options.weights_file) if name]
    net = caffe.Net(*(files + [phase]))
    random = np.random.RandomState(options.seed)
    arrays = {}
    give_inputs(caffe, net, options, random)
    for name in net.inputs:
        arrays["input/" + name] = net.blobs[name].data.copy()
    before = params(net, "data")
    if options.params or not options.weights_file:
        arrays.update(("param/" + key, value) for key, value in before.items())
    forward(net, arrays)
    for name, blob in net.blobs.items():
        given = arrays.get("input/" + name)
        if given is None or not np.array_equal(given, blob.data):
            arrays["blob/" + name] = blob.data.copy()
    for key, value in params(net, "data").items():
        if not np.array_equal(value, before[key]):
            arrays["param_after/" + key] = value
    if options.backward:
        backward(net, arrays, random)
    return arrays


def forward(net, arrays):
    """Run every layer; what data layers serve is recorded at once, for later layers may work on it in-place."""
    tops = getattr(net, "top_names", None)  # older pycaffe does not tell
    for index, name in enumerate(net._layer_names):
        net._forward(index, index)
        if tops is not None and net.layers[index].type in DATA_LAYERS:
            for top in tops[name]:
                arrays["input/" + top] = net.blobs[top].data.copy()


def backward(net, arrays, random):
    """Run backward from the losses, or, where there are none, from random diffs of the outputs."""
    for blobs in net.params.values():
        for blob in blobs:
            blob.diff[...] = 0
    if not losses(net):
        for name in net.outputs:
            diff = random.standard_normal(net.blobs[name].data.shape).astype(np.float32)
            net.blobs[name].diff[...] = arrays["top_diff/" + name] = diff
    net.backward()
    found = params(net, "diff")
    arrays.update(("param_diff/" + key, value) for key, value in found.items())
    arrays.update(("diff/" + name, blob.diff.copy()) for name, blob in net.blobs.items())
    through = [name for name in net.blobs if name not in net.outputs and arrays["diff/" + name].any()]
    if not through and not any(value.any() for value in found.values()):
        raise Trouble("backward computed nothing: without a loss, NET must say force_backward: true.")


def losses(net):
    """The blobs that are losses, with their weights."""
    weights = getattr(net, "blob_loss_weights", None)
    if weights is not None:
        return dict((name, weight) for name, weight in weights.items() if weight)
    kinds = dict(zip(net._layer_names, (layer.type for layer in net.layers)))
    return dict((name, 1.0) for name in net.outputs if kinds.get(name, "").endswith("Loss") or "loss" in name)


def params(net, which):
    """Copies of the learnable blobs' "data" or "diff", by <layer>/<i>."""
    pairs = ((name, i, blob) for name, blobs in net.params.items() for i, blob in enumerate(blobs))
    return dict(("%s/%d" % (name, i), getattr(blob, which).copy()) for name, i, blob in pairs)


# -- inputs ------------------------------------------------------------------------------------------------------------


def give_inputs(caffe, net, options, random):
    """Fill the input blobs: from files and images, the rest with random numbers."""
    given = read_inputs(options)
    if options.image:
        if not net.inputs:
            raise Trouble("--image: the net has no input.")
        given[net.inputs[0]] = read_images(caffe, net.blobs[net.inputs[0]], options)
    below = dict(pair(text, "--labels") for text in options.labels)
    for name in list(given) + list(below):
        if name not in net.inputs:
            raise Trouble("the net has no input '%s'; its inputs are: %s." % (name, ", ".join(net.inputs) or "none"))
    for name in net.inputs:
        blob = net.blobs[name]
        if name in given:
            blob.reshape(*given[name].shape)
        elif name in below:
            given[name] = random.randint(int(below[name]), size=blob.data.shape)
        else:
            given[name] = random.standard_normal(blob.data.shape)
    net.reshape()
    for name in net.inputs:
        net.blobs[name].data[...] = given[name]


def read_inputs(options):
    """The arrays of --inputs and --input, by blob name."""
    given = {}
    try:
        if options.inputs:
            archive = np.load(existing(options.inputs), allow_pickle=False)
            for key in archive.files:
                if key.startswith("input/") or "/" not in key:
                    given[key[6:] if key.startswith("input/") else key] = archive[key]
        for text in options.input:
            name, path = pair(text, "--input")
            given[name] = np.load(existing(path), allow_pickle=False)
    except (ValueError, AttributeError) as error:
        raise Trouble("--inputs takes an .npz, --input BLOB=FILE.npy an .npy: %s" % error)
    except TypeError:
        raise Trouble("reading inputs needs numpy 1.10 or newer, which can refuse pickles.")
    return given


def pair(text, flag):
    """``NAME=VALUE`` in two."""
    name, equals, value = text.rpartition("=")
    if not equals or not name or not value:
        raise Trouble("%s %s: write it as %s NAME=VALUE." % (flag, text, flag))
    return name, value


def read_images(caffe, blob, options):
    """The images as a batch for ``blob``, prepared as pycaffe's Transformer does it."""
    channels = blob.data.shape[1]
    transformer = caffe.io.Transformer({"image": (1,) + tuple(blob.data.shape[1:])})
    transformer.set_transpose("image", (2, 0, 1))
    if options.swap:
        transformer.set_channel_swap("image", [int(part) for part in options.swap.split(",")])
    if options.raw_scale is not None:
        transformer.set_raw_scale("image", options.raw_scale)
    if options.mean:
        transformer.set_mean("image", read_mean(caffe, options.mean))
    if options.scale is not None:
        transformer.set_input_scale("image", options.scale)
    images = [caffe.io.load_image(existing(path), color=channels == 3) for path in options.image]
    return np.stack([transformer.preprocess("image", image) for image in images])


def read_mean(caffe, text):
    """A mean per channel; of a mean image each channel's mean, for images are resized to the net's size."""
    if text.endswith(".npy"):
        mean = np.load(existing(text), allow_pickle=False)
    elif text.endswith(".binaryproto"):
        message = caffe.io.caffe_pb2.BlobProto()
        with open(existing(text), "rb") as stream:
            message.ParseFromString(stream.read())
        mean = caffe.io.blobproto_to_array(message)[0]
    else:
        return np.array([float(part) for part in text.split(",")])
    return mean.reshape(mean.shape[0], -1).mean(1)


# -- a training --------------------------------------------------------------------------------------------------------


def record_training(caffe, options):
    """The loss of every iteration, and the learnable blobs at first, after the first iteration and at the end."""
    options.output = os.path.abspath(options.output)
    solver_file = existing(options.solver)
    weights = existing(options.weights) if options.weights else None
    os.chdir(os.path.dirname(solver_file))  # the paths in it are meant from there
    make = getattr(caffe, "get_solver", None) or caffe.SGDSolver
    solver = make(solver_file)
    if weights:
        solver.net.copy_from(weights)
    arrays = dict(("init/" + key, value) for key, value in params(solver.net, "data").items())
    weighted = losses(solver.net)
    if not weighted:
        raise Trouble("%s: the training net has no loss." % options.solver)
    loss = []
    for iteration in range(options.iterations):
        solver.step(1)
        loss.append(sum(weight * float(solver.net.blobs[name].data.sum()) for name, weight in weighted.items()))
        if iteration == 0:
            arrays.update(("after1/" + key, value) for key, value in params(solver.net, "data").items())
    arrays.update(("final/" + key, value) for key, value in params(solver.net, "data").items())
    arrays["loss"] = np.array(loss)
    return arrays


def write(arrays, path):
    """Write the file beside its place and move it there, so that it appears whole or not at all."""
    folder = os.path.dirname(os.path.abspath(path))
    if not os.path.isdir(folder):
        raise Trouble("%s: there is no folder %s." % (path, folder))
    descriptor, part = tempfile.mkstemp(suffix=".part", dir=folder)
    try:
        with os.fdopen(descriptor, "wb") as stream:
            np.savez_compressed(stream, **arrays)
        os.chmod(part, 0o644)
        os.rename(part, path)
    except BaseException:
        os.remove(part)
        raise


if __name__ == "__main__":
    sys.exit(main())
