"""Build networks by name from one dict that can be imported without Keras.

Every network, also one of yours (`models.own`), takes N x H x W x 1 float32 grey images in 0..255 (preprocessing is
part of the graph) and ends in a softmax layer named `probabilities`.
"""

import importlib
from collections.abc import Callable
from typing import TYPE_CHECKING

from covid_xray.config import Training
from covid_xray.errors import MissingPackage, UsageError, did_you_mean
from covid_xray.models import own
from covid_xray.models.pretrained import weights_file

if TYPE_CHECKING:
    import keras

Builder = Callable[[Training, int], "keras.Model"]

MODELS: dict[str, str] = {
    "vgg": "covid_xray.models.vgg:build",
    **{f"efficientnet_lite{size}": "covid_xray.models.efficientnet_lite:build" for size in range(3)},
}
PRETRAINED = tuple(name for name in MODELS if name != "vgg")  # those of ours that have ImageNet weights

# Module of keras.applications, which holds the matching preprocess_input -> its networks, the smallest first.
FAMILIES: dict[str, tuple[str, ...]] = {
    "convnext": ("ConvNeXtTiny", "ConvNeXtSmall", "ConvNeXtBase", "ConvNeXtLarge", "ConvNeXtXLarge"),
    "densenet": ("DenseNet121", "DenseNet169", "DenseNet201"),
    "efficientnet": (
        "EfficientNetB0",
        "EfficientNetB1",
        "EfficientNetB2",
        "EfficientNetB3",
        "EfficientNetB4",
        "EfficientNetB5",
        "EfficientNetB6",
        "EfficientNetB7",
    ),
    "efficientnet_v2": (
        "EfficientNetV2B0",
        "EfficientNetV2B1",
        "EfficientNetV2B2",
        "EfficientNetV2B3",
        "EfficientNetV2S",
        "EfficientNetV2M",
        "EfficientNetV2L",
    ),
    "inception_resnet_v2": ("InceptionResNetV2",),
    "inception_v3": ("InceptionV3",),
    "mobilenet": ("MobileNet",),
    "mobilenet_v2": ("MobileNetV2",),
    "mobilenet_v3": ("MobileNetV3Small", "MobileNetV3Large"),
    "nasnet": ("NASNetMobile", "NASNetLarge"),
    "resnet": ("ResNet50", "ResNet101", "ResNet152"),
    "resnet_v2": ("ResNet50V2", "ResNet101V2", "ResNet152V2"),
    "vgg16": ("VGG16",),
    "vgg19": ("VGG19",),
    "xception": ("Xception",),
}
# Class name in keras.applications -> its module.
APPLICATIONS = {name: module for module, networks in FAMILIES.items() for name in networks}


def names() -> tuple[str, ...]:
    """List every name that `build` accepts: our own networks first."""
    return (*MODELS, *APPLICATIONS)


def checked(settings: Training) -> Training:
    """Return the settings with the name of the network as it is spelled here; nothing is built.

    Raises:
        UsageError: the name is unknown in any case, `package.module:builder` is not there, or the network has no such
            weights or layers.
    """
    if own.is_own(settings.model):
        own.require(settings)
        return settings
    known = {name.casefold(): name for name in names()}
    if settings.model.casefold() not in known:
        close = did_you_mean(settings.model, names())
        raise UsageError(
            f"No such model: {settings.model}. Choose one of {', '.join(names())}, or name a function of yours as "
            f"package.module:function.{close}"
        )
    name = known[settings.model.casefold()]
    settings = settings if name == settings.model else settings.model_copy(update={"model": name})
    if settings.train_from and settings.model not in PRETRAINED:
        raise UsageError(
            f"train_from works with {', '.join(PRETRAINED)} only, not with {settings.model}. Leave it out."
        )
    if settings.model in MODELS and settings.model not in PRETRAINED and settings.weights:
        raise UsageError(f"There are no ImageNet weights of {settings.model}. Set weights=null.")
    if settings.model in PRETRAINED and weights_file(settings):
        raise UsageError(f"weights of {settings.model} is imagenet or null. Begin from a run or bundle with init.")
    return settings


def build(settings: Training, classes: int) -> "keras.Model":
    """Build the uncompiled network `settings.model` with `classes` outputs.

    Raises:
        UsageError: as `checked`, or ImageNet weights are set and not available.
        MissingPackage: Keras is not installed.
    """
    settings = checked(settings)
    if own.is_own(settings.model):
        return own.build(settings, classes)
    target = MODELS.get(settings.model, "covid_xray.models.applications:build")
    return _load(target)(settings, classes)


def _load(target: str) -> Builder:
    module, _, function = target.partition(":")
    try:
        builder: Builder = getattr(importlib.import_module(module), function)
    except ModuleNotFoundError as error:
        raise MissingPackage(f'{error.name} is not installed. Run pip install "covid-xray[train]".') from None
    return builder
