"""Rebuild the Keras network of a bundle, to begin a run with `init` from it.

A bundle holds ONNX only, so the network is built anew from the settings that the bundle was trained with, and the
weights are read from the graph. It is used only after it gave the same answers as ONNX Runtime on reference images.
"""

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import keras
import numpy as np
from keras import layers

from covid_xray.bundle.bundle import Bundle, load_bundle
from covid_xray.config import Training
from covid_xray.errors import BadBundle, UsageError
from covid_xray.files import sha256_bytes, sha256_file
from covid_xray.inference.predictor import Predictor
from covid_xray.inference.selftest import reference_inputs
from covid_xray.models import zoo
from covid_xray.models.heatmap_head import with_class_maps
from covid_xray.models.pretrained import weights_file, with_hash
from covid_xray.models.two_step import ILL, is_two_step, with_two_steps
from covid_xray.training import precision
from covid_xray.training.network import build_model
from covid_xray.training.onnx.operators import Operator, operators
from covid_xray.training.within_source.ranker import SCORE

SHAPE = ("model", "image_size", "blocks", "convolutions", "dense")  # settings that the weights depend on
TOLERANCE = 1e-3  # largest difference of a probability; of embedding and maps, as a share of their largest value
HEAD = "probabilities"
LINEAR = (layers.Conv2D, layers.DepthwiseConv2D, layers.Dense)


def resolved(settings: Training) -> Training:
    """Complete the settings: the shape of the network and its crop from the bundle of `init`, the hash of `weights`.

    Raises:
        InputRefused: the file of `weights` is another one than its hash says.
        UsageError: the settings name another network than that of the bundle, or no such file of weights.
        BadBundle: there is no bundle, or none of `covid-xray train`.
    """
    if settings.init is None:
        return with_hash(settings)
    bundle = open_initial(settings.init)
    known: dict[str, Any] = {name: getattr(shape_of(bundle), name) for name in SHAPE}
    for name, value in known.items():
        given = getattr(settings, name)
        if name in settings.model_fields_set and given != value:
            raise UsageError(
                f"{name}={given} does not fit init={settings.init}, whose network has {name}={value}. Leave {name} out."
            )
    if settings.lungs is None and bundle.lungs is not None:
        known["lungs"] = bundle.folder
    if "crop" not in settings.model_fields_set:
        known["crop"] = bundle.crop
    return settings.model_copy(update=known)


def begin(
    settings: Training, classes: tuple[str, ...], *, sources: int = 1
) -> tuple[keras.Model, dict[str, Any] | None]:
    """Build and compile the network of resolved `settings` with the weights of `init`, and describe their origin.

    The head is copied when the bundle has all of `classes` (with fewer of them as if the others were ruled out); else
    it is new.

    Returns:
        The network; name, version, SHA-256, classes and training data of the bundle and what became of its `head` (of a
        file of weights its name and SHA-256), or `None` where it begins from neither.

    Raises:
        BadBundle: as `resolved`, or the network cannot be rebuilt from it.
    """
    model = build_model(settings, len(classes), sources=sources)
    if settings.average_of:
        return model, set_average(model, settings.average_of)
    file = weights_file(settings)
    if file:
        sha256 = settings.weights_sha256
        return model, {"name": file.name, "version": sha256[:12], "sha256": sha256, "head": "new"}
    if settings.init is None:
        return model, None
    bundle = open_initial(settings.init)
    source = network_of(bundle)
    known = set(classes) <= set(bundle.classes) and not is_two_step(source) and settings.objective == "classes"
    theirs = {layer.name for layer in source.layers}
    for layer in model.layers:
        values = source.get_layer(layer.name).get_weights() if layer.weights and layer.name in theirs else []
        if layer.name == HEAD:
            places = [bundle.classes.index(name) for name in classes] if known else []
            values = [value[..., places] for value in values] if known else []
        if values:
            layer.set_weights(values)
    facts = {"name": bundle.name, "version": bundle.version, "sha256": bundle.sha256, "classes": list(bundle.classes)}
    return model, {
        **facts,
        "head": "taken over" if known else "new",
        "training_data": bundle.facts.get("training_data"),
    }


def set_average(model: keras.Model, runs: Sequence[Path]) -> dict[str, Any]:
    """Give `model` the mean of the weights of finished runs, layer by layer, in place.

    The score of a ranking network begins as the mean of what the runs take for ill; answering heads are
    fitted anew.

    Networks that were fine-tuned from one beginning lie in one basin, and their mean is better than each of them on
    data that none of them knew: DiWA (Rame and others 2022, arXiv:2205.09739), model soups (Wortsman and others 2022).

    Returns:
        Facts for the run's manifest: the SHA-256 of each run's network, and one for all of them.

    Raises:
        UsageError: a folder without a finished run, or a network with other layers.
    """
    weighted = [layer for layer in model.layers if layer.weights]
    sources = [_finished(run) for run in runs]
    for layer in weighted:
        found = [_weights_like(layer, source, run) for source, run in zip(sources, runs, strict=True)]
        layer.set_weights([np.mean(values, axis=0) for values in zip(*found, strict=True)])
    hashes = [sha256_file(run / "model.keras") for run in runs]
    sha256 = sha256_bytes("".join(hashes).encode())
    return {"name": "average", "version": sha256[:12], "sha256": sha256, "head": "averaged", "runs": hashes}


def _finished(run: Path) -> keras.Model:
    path = run / "model.keras"
    if not path.is_file():
        raise UsageError(f"{run} holds no finished run (no model.keras). average_of takes folders of finished runs.")
    return keras.saving.load_model(path, compile=False, safe_mode=True)


def _weights_like(layer: layers.Layer, source: keras.Model, run: Path) -> list[Any]:
    """Read the weights of the layer of this name in another network of the same form."""
    if layer.name == SCORE and is_two_step(source):
        return [values.mean(axis=-1, keepdims=True) for values in source.get_layer(ILL).get_weights()]
    names = [other.name for other in source.layers]
    theirs = source.get_layer(layer.name).get_weights() if layer.name in names else []
    if [values.shape for values in theirs] != [values.shape for values in layer.get_weights()]:
        raise UsageError(f"The network of {run} has no such layer {layer.name}; average_of takes runs of one network.")
    return list(theirs)


def open_initial(init: str) -> Bundle:
    """Load the bundle that `init` names: `default` for the one that ships, else the folder of a bundle or of a run."""
    return load_bundle(None if init == "default" else init)


def shape_of(bundle: Bundle) -> Training:
    """Read the settings that shape the bundle's network. Raises `BadBundle` where it has none, or is not ours."""
    trained = bundle.facts.get("training", {}).get("settings", {})
    model = trained.get("model")
    if model not in zoo.MODELS:
        raise BadBundle(
            f"A run cannot begin from {model or bundle.name}. Give a bundle of {' or '.join(zoo.MODELS)} that "
            "covid-xray train made.",
            code="not-initial",
        )
    shape = {name: trained[name] for name in SHAPE if name in trained}
    return Training.model_validate({**shape, "init": str(bundle.folder)})


def network_of(bundle: Bundle) -> keras.Model:
    """Rebuild the float32 network of `bundle` and check it against ONNX Runtime. Raises `BadBundle`."""
    with precision.policy("float32"):
        model = zoo.build(shape_of(bundle), len(bundle.classes))
        if "known" in bundle.facts["outputs"]:
            well = bundle.classes.index(bundle.facts["well"])
            model = with_two_steps(model, answers=len(bundle.classes), well=well)
    _fill(model, operators(bundle.model))
    _prove(model, bundle)
    return model


def _fill(model: keras.Model, found: list[Operator]) -> None:
    weighted = [layer for layer in model.layers if isinstance(layer, (*LINEAR, layers.BatchNormalization))]
    linear = [layer for layer in weighted if isinstance(layer, LINEAR)]
    shapes = [tuple(layer.kernel.shape) for layer in linear], [operator.kernel.shape for operator in found]
    if shapes[0] != shapes[1]:
        place = next((i for i, (a, b) in enumerate(zip(*shapes, strict=False)) if a != b), None)
        if place is None:
            raise _not_rebuilt(model, f"it has {len(found)} layers instead of {len(linear)}")
        raise _not_rebuilt(model, f"{linear[place].name} has weights of another shape, {shapes[1][place]}")
    after = dict(zip(weighted, [*weighted[1:], None], strict=True))
    for layer, operator in zip(linear, found, strict=True):
        norm = after[layer]
        _set(layer, norm if isinstance(norm, layers.BatchNormalization) else None, operator)


def _set(layer: Any, norm: Any, operator: Operator) -> None:
    """Set the kernel of `layer`; scale and shift go into `norm`, or the shift into the layer's bias."""
    channels = operator.kernel.shape[-2 if isinstance(layer, layers.DepthwiseConv2D) else -1]
    scale, shift = (
        np.broadcast_to(np.float32(default) if values is None else values, channels)
        for default, values in ((1, operator.scale), (0, operator.shift))
    )
    if norm is not None:
        # (x - 0) / sqrt(1 + epsilon) * gamma + beta
        gamma = scale * np.sqrt(np.float32(1 + norm.epsilon))
        norm.set_weights([gamma, shift, np.zeros(channels), np.ones(channels)])
    elif operator.scale is not None or not layer.use_bias:
        raise _not_rebuilt(layer, f"{layer.name} is followed by a product, which it cannot hold")
    layer.set_weights([operator.kernel, shift] if layer.use_bias else [operator.kernel])


def _prove(model: keras.Model, bundle: Bundle) -> None:
    predictor = Predictor(bundle)
    pixels = reference_inputs(predictor)
    expected = predictor.forward(pixels, class_maps=True)
    rebuilt = with_class_maps(model).predict_on_batch(pixels[..., None].astype(np.float32))
    for name, values in expected.items():
        scale = 1.0 if name == HEAD else max(1.0, float(np.abs(values).max()))
        difference = float(np.abs(np.asarray(rebuilt[name]) - values).max()) / scale
        if not difference <= TOLERANCE:
            raise _not_rebuilt(model, f"{name} differs from ONNX Runtime by {difference:.1e}, above {TOLERANCE}")


def _not_rebuilt(part: Any, problem: str) -> BadBundle:
    message = f"The network of the bundle cannot be rebuilt as {part.name}: {problem}. Begin from another bundle."
    return BadBundle(message, code="not-initial")
