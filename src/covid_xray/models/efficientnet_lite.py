"""Build EfficientNet-Lite0 to Lite2, EfficientNets for small machines, with ReLU6 and without squeeze-and-excitation.

Tan and Le 2019 (arXiv:1905.11946) and the Lite variants of the TensorFlow TPU models. Input as of every network here:
N x H x W x 1 grey values in 0..255; the network's own scaling to -1..1 is part of the graph. Every layer has a name.
Lite0 has 3,371,008 parameters below the head. Batch normalisation keeps the statistics of ImageNet (see `build`).
"""

import math

import keras
from keras import layers

from covid_xray.config import Training
from covid_xray.errors import UsageError
from covid_xray.models.vgg import grey_input, to_rgb

# repeats, kernel, expansion, filters, stride of the first: the seven stages
STAGES = ((1, 3, 1, 16, 1), (2, 3, 6, 24, 2), (2, 5, 6, 40, 2), (3, 3, 6, 80, 2),
          (3, 5, 6, 112, 1), (4, 5, 6, 192, 2), (1, 3, 6, 320, 1))  # fmt: skip
# network: factors of filters and of repeats; the first and the last stage are repeated once in all of them
SCALES = {"efficientnet_lite0": (1.0, 1.0), "efficientnet_lite1": (1.0, 1.1), "efficientnet_lite2": (1.1, 1.2)}
STEM, HEAD = 32, 1280  # filters; the Lite variants do not scale them
EPSILON = 1e-3


def build(settings: Training, classes: int) -> keras.Model:
    """Build the EfficientNet-Lite of the settings with a global-average-pool head of `classes`.

    Batch normalisation runs with its stored statistics in training too: under strong augmentation running statistics
    drift away from those of clean images, and the decision threshold with them. The same holds with `init`; only a
    network that starts from random weights learns them. The layers before `settings.train_from` (a layer-name prefix
    such as `block04`) are frozen as well.

    Raises:
        UsageError: `train_from` names no layer.
        MissingPackage: the package with the ImageNet weights is needed and not installed.
    """
    image = grey_input(settings.image_size, settings.image_size)
    trainable = settings.weights is None and settings.init is None
    x = features(to_rgb(image), trainable_norm=trainable, network=settings.model)
    x = layers.GlobalAveragePooling2D(name="pool")(x)
    x = layers.Dropout(settings.dropout, name="pool_dropout")(x)
    probabilities = layers.Dense(classes, activation="softmax", dtype="float32", name="probabilities")(x)
    model = keras.Model(image, probabilities, name=settings.model)
    if settings.weights:
        from covid_xray.models.imagenet import load_lite

        load_lite(model, settings.model)
    if settings.train_from:
        freeze_before(model, settings.train_from)
    return model


def stages(network: str) -> tuple[tuple[int, ...], ...]:
    """Return the stages of a network: repeats, kernel, expansion, filters (a multiple of 8), stride of the first."""
    width, depth = SCALES[network]
    ends = (0, len(STAGES) - 1)
    return tuple(
        (repeats if place in ends else math.ceil(repeats * depth), kernel, expansion, _rounded(filters * width), stride)
        for place, (repeats, kernel, expansion, filters, stride) in enumerate(STAGES)
    )


def features(rgb: keras.KerasTensor, *, trainable_norm: bool, network: str = "efficientnet_lite0") -> keras.KerasTensor:
    """Build the features: N x H x W x 3 in 0..255 -> N x H/32 x W/32 x 1280, after ReLU6."""
    x = layers.Rescaling(1 / 128, -127 / 128, name="rescale")(rgb)
    x = _relu(_norm(_conv(x, STEM, 3, 2, "stem_conv"), "stem_norm", trainable_norm), "stem_relu")
    number = 0
    for repeats, kernel, expansion, filters, stride in stages(network):
        for repeat in range(repeats):
            number += 1
            step = stride if repeat == 0 else 1
            x = _block(x, f"block{number:02d}", kernel, expansion, filters, step, trainable_norm)
    return _relu(_norm(_conv(x, HEAD, 1, 1, "head_conv"), "head_norm", trainable_norm), "head_relu")


def _rounded(filters: float) -> int:
    """Round to a multiple of 8, by less than a tenth down."""
    found = max(8, int(filters + 4) // 8 * 8)
    return found + 8 if found < 0.9 * filters else found


def freeze_before(model: keras.Model, prefix: str) -> None:
    """Freeze every layer before the first one whose name begins with `prefix`. Raises `UsageError` without one."""
    names = [layer.name for layer in model.layers]
    first = next((i for i, name in enumerate(names) if name.startswith(prefix)), None)
    if first is None:
        raise UsageError(f"No layer's name begins with train_from={prefix}. Give a prefix such as block06.")
    for layer in model.layers[:first]:
        layer.trainable = False


def _block(
    x: keras.KerasTensor, name: str, kernel: int, expansion: int, filters: int, stride: int, trainable: bool
) -> keras.KerasTensor:
    """Build an inverted residual: expand, depthwise, project; added to its input where the shapes agree."""
    channels, y = x.shape[-1], x
    if expansion != 1:
        y = _conv(y, channels * expansion, 1, 1, f"{name}_expand_conv")
        y = _relu(_norm(y, f"{name}_expand_norm", trainable), f"{name}_expand_relu")
    options = {"strides": stride, "padding": "same", "use_bias": False}
    y = layers.DepthwiseConv2D(kernel, **options, name=f"{name}_depthwise_conv")(y)
    y = _relu(_norm(y, f"{name}_depthwise_norm", trainable), f"{name}_depthwise_relu")
    y = _norm(_conv(y, filters, 1, 1, f"{name}_project_conv"), f"{name}_project_norm", trainable)
    same = stride == 1 and channels == filters
    return layers.Add(name=f"{name}_add")([x, y]) if same else y


def _conv(x: keras.KerasTensor, filters: int, kernel: int, stride: int, name: str) -> keras.KerasTensor:
    return layers.Conv2D(filters, kernel, strides=stride, padding="same", use_bias=False, name=name)(x)


def _norm(x: keras.KerasTensor, name: str, trainable: bool) -> keras.KerasTensor:
    return layers.BatchNormalization(epsilon=EPSILON, trainable=trainable, name=name)(x)


def _relu(x: keras.KerasTensor, name: str) -> keras.KerasTensor:
    return layers.ReLU(6.0, name=name)(x)
