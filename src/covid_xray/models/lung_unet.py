"""Build a small U-Net for lungs: N x H x W x 1 grey values in 0..255 -> N x H/2 x W/2 x 1 probability of lung.

After Ronneberger and others 2015 (arXiv:1505.04597), made light for a processor: the first convolution halves the
picture, and each level has two 3 x 3 convolutions. Brightness and contrast of the whole picture are taken out first.
"""

import keras
from keras import layers, ops

WIDTHS = (16, 32, 48, 64, 96)  # filters of each level, from half the picture's size down to a 32nd


class Standardise(layers.Layer):
    """Scale each picture to mean 0 and standard deviation 1: gain and offset of a detector carry no information."""

    def call(self, inputs: keras.KerasTensor) -> keras.KerasTensor:
        """Scale N x H x W x C; a flat picture becomes zeros."""
        x = ops.cast(inputs, "float32")
        mean = ops.mean(x, axis=(1, 2, 3), keepdims=True)
        variance = ops.mean(ops.square(x - mean), axis=(1, 2, 3), keepdims=True)
        return (x - mean) / ops.sqrt(variance + 1.0)


def build(size: int, *, widths: tuple[int, ...] = WIDTHS) -> keras.Model:
    """Build the uncompiled network for size x size pictures; `size` is a multiple of 2 ** len(widths).

    Raises:
        ValueError: another size.
    """
    step = 2 ** len(widths)
    if size % step:
        raise ValueError(f"size={size} is no multiple of {step}, which the lung network needs.")
    image = keras.Input((size, size, 1), name="image")
    x = Standardise(name="standardise", dtype="float32")(image)
    x = _convolution(x, widths[0], "stem", strides=2)
    levels = []
    for number, filters in enumerate(widths, start=1):
        if number > 1:
            x = layers.MaxPooling2D(2, name=f"down{number}_pool")(x)
        x = _two(x, filters, f"down{number}")
        levels.append(x)
    for number, level in reversed(list(enumerate(levels[:-1], start=1))):
        x = layers.UpSampling2D(2, interpolation="nearest", name=f"up{number}_enlarge")(x)
        x = layers.Concatenate(name=f"up{number}_join")([x, level])
        x = _two(x, widths[number - 1], f"up{number}")
    lungs = layers.Conv2D(1, 1, activation="sigmoid", dtype="float32", name="lungs")(x)
    return keras.Model(image, lungs, name="lung_unet")


def _two(x: keras.KerasTensor, filters: int, name: str) -> keras.KerasTensor:
    return _convolution(_convolution(x, filters, f"{name}_a"), filters, f"{name}_b")


def _convolution(x: keras.KerasTensor, filters: int, name: str, *, strides: int = 1) -> keras.KerasTensor:
    options = {"strides": strides, "padding": "same", "use_bias": False, "kernel_initializer": "he_normal"}
    x = layers.Conv2D(filters, 3, **options, name=f"{name}_conv")(x)
    x = layers.BatchNormalization(name=f"{name}_norm")(x)
    return layers.ReLU(name=f"{name}_relu")(x)
