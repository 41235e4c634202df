"""Build the network of the original project: blocks of 3x3 convolutions, max-pooling, dense layers, softmax.

With the default settings: 224 x 224 x 3; 32, 64, 128, 256 filters, two convolutions a block; dense 512, 512;
dropout 0.3; 27,127,075 parameters for three classes.
"""

import keras
from keras import layers

from covid_xray.config import Training


def grey_input(height: int, width: int) -> keras.KerasTensor:
    """Make the input of all networks: N x height x width x 1 grey values in 0..255, named `image`."""
    return keras.Input((height, width, 1), name="image")


def to_rgb(grey: keras.KerasTensor) -> keras.KerasTensor:
    """Repeat the grey channel three times: the original's input has three channels, and so have ImageNet weights."""
    return layers.Concatenate(name="rgb")([grey, grey, grey])


def build(settings: Training, classes: int) -> keras.Model:
    """Build the VGG-style network of `settings` (`image_size`, `blocks`, `convolutions`, `dense`, `dropout`).

    With `dense=()` the head is global average pooling and softmax instead of flatten and dense layers.
    """
    image = grey_input(settings.image_size, settings.image_size)
    x = layers.Rescaling(1 / 255, name="rescale")(to_rgb(image))
    for block, filters in enumerate(settings.blocks, start=1):
        for number in range(1, settings.convolutions + 1):
            name = f"block{block}_conv{number}"
            x = _convolution(filters, name, settings)(x)
        x = layers.MaxPooling2D(2, name=f"block{block}_pool")(x)
    x = layers.Dropout(settings.dropout, name="features_dropout")(x)
    x = _hidden(x, settings)
    # Softmax stays in float32 whatever the precision of the rest: bfloat16 has three significant digits.
    probabilities = layers.Dense(classes, activation="softmax", dtype="float32", name="probabilities")(x)
    return keras.Model(image, probabilities, name=settings.model)


def _convolution(filters: int, name: str, settings: Training) -> layers.Layer:
    options = {"padding": "same", "activation": "relu", "kernel_initializer": settings.initializer}
    return layers.Conv2D(filters, 3, **options, name=name)


def _hidden(x: keras.KerasTensor, settings: Training) -> keras.KerasTensor:
    if not settings.dense:
        return layers.GlobalAveragePooling2D(name="pool")(x)
    x = layers.Flatten(name="flatten")(x)
    for number, units in enumerate(settings.dense, start=1):
        options = {"activation": "relu", "kernel_initializer": settings.initializer}
        x = layers.Dense(units, **options, name=f"dense{number}")(x)
        x = layers.Dropout(settings.dropout, name=f"dense{number}_dropout")(x)
    return x
