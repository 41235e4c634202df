"""Build a network of `keras.applications` with our input and a global-average-pooling head.

Its own `preprocess_input` becomes part of the graph, so that a wrong normalisation cannot happen later.
"""

import contextlib
import importlib

import keras
from keras import layers

from covid_xray.config import Training
from covid_xray.errors import CovidXrayError, UsageError
from covid_xray.models.pretrained import cache_only, load_file, weights_file
from covid_xray.models.vgg import grey_input, to_rgb
from covid_xray.models.zoo import APPLICATIONS


def build(settings: Training, classes: int) -> keras.Model:
    """Build the network `settings.model` of `keras.applications`, from scratch or with weights (`pretrained`).

    Raises:
        UsageError: the weights are not there or do not fit, or the image is too small for the network.
        InputRefused: the file in Keras' cache is not the published one.
    """
    module = importlib.import_module(f"keras.applications.{APPLICATIONS[settings.model]}")
    image = grey_input(settings.image_size, settings.image_size)
    prepared = module.preprocess_input(to_rgb(image))
    features = _features(settings)(prepared)
    x = layers.GlobalAveragePooling2D(name="pool")(features)
    x = layers.Dropout(settings.dropout, name="pool_dropout")(x)
    probabilities = layers.Dense(classes, activation="softmax", dtype="float32", name="probabilities")(x)
    return keras.Model(image, probabilities, name=settings.model)


def _features(settings: Training) -> keras.Model:
    network = getattr(keras.applications, settings.model)
    shape = (settings.image_size, settings.image_size, 3)
    file = weights_file(settings)
    published = "imagenet" if settings.weights and not file else None
    try:
        with contextlib.nullcontext() if settings.weights == "download" else cache_only():
            features: keras.Model = network(include_top=False, weights=published, input_shape=shape)
    except CovidXrayError:
        raise
    except ValueError as error:
        raise UsageError(
            f"image_size={settings.image_size} does not fit {settings.model}. Set a larger image_size."
        ) from error
    except Exception as error:  # keras.utils.get_file raises a bare Exception when it cannot reach its server
        if settings.weights != "download":
            raise
        raise UsageError(
            f"The ImageNet weights of {settings.model} cannot be downloaded: no connection. Train from scratch with "
            "--set weights=null, or copy the cache of Keras (~/.keras/models) from a machine with internet."
        ) from error
    if file:
        load_file(features, file, network=settings.model)
    return _with_depthwise(features) if settings.model.startswith("ConvNeXt") else features


def _with_depthwise(network: keras.Model) -> keras.Model:
    """Rebuild a network with depthwise layers where a convolution has as many groups as filters; the weights stay.

    TensorFlow runs such groups on a processor only through XLA, which cannot be exported.
    """

    def is_grouped(layer: layers.Layer) -> bool:
        return isinstance(layer, layers.Conv2D) and layer.groups == layer.filters > 1

    def rebuilt(layer: layers.Layer) -> layers.Layer:
        if not is_grouped(layer):
            return layer.__class__.from_config(layer.get_config())
        same = {name: getattr(layer, name) for name in ("strides", "padding", "use_bias", "name")}
        return layers.DepthwiseConv2D(layer.kernel_size, dtype=layer.dtype_policy, **same)

    clone: keras.Model = keras.models.clone_model(network, clone_function=rebuilt)
    for old, new in zip(network.layers, clone.layers, strict=True):
        values = old.get_weights()
        if is_grouped(old):  # rows x columns x 1 x channels becomes rows x columns x channels x 1
            values[0] = values[0].swapaxes(2, 3)
        new.set_weights(values)
    return clone
