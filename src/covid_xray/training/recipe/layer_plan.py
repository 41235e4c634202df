"""Decide which layers are trained in which epoch, and how fast, by the beginnings of their names.

Gradual unfreezing and a rate for each layer follow Howard and Ruder 2018 (ULMFiT, arXiv:1801.06146).
"""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any

import keras

from covid_xray.config import Training
from covid_xray.errors import UsageError, did_you_mean

SHOWN = 40  # beginnings of names in an error


@dataclass(frozen=True, eq=False)
class LayerPlan:
    """The layers that are frozen at first; each with the epoch from which it is trained, or `None` for never."""

    frozen: tuple[tuple[keras.layers.Layer, int | None], ...]

    def begin(self, epoch: int) -> bool:
        """Freeze and free layers for `epoch`, which counts from 1; say whether any changed.

        A frozen layer of batch normalisation uses its stored statistics, as in Keras. After a change the model has to
        be compiled again.
        """
        changed = False
        for layer, first in self.frozen:
            trained = first is not None and epoch >= first
            changed |= layer.trainable != trained
            layer.trainable = trained
        return changed


def plan_layers(model: keras.Model, settings: Training) -> LayerPlan:
    """Plan freezing and unfreezing of a network that was just built.

    Layers that the network itself keeps frozen (batch normalisation of `efficientnet_lite0` with ImageNet weights)
    stay so when their group is unfrozen.

    Raises:
        UsageError: a beginning that fits no layer, or that nothing is trained.
    """
    known = named_layers(model)
    chosen = {path for path, layer in known.items() if _fits(path, layer, settings.freeze)}
    _require(settings.freeze, known, setting="freeze")
    _require(settings.layer_rates, known, setting="layer_rates")
    for prefixes in settings.unfreeze.values():
        _require(prefixes, {path: known[path] for path in known if path in chosen}, setting="unfreeze")
    frozen = {path: known[path] for path in known if path in chosen and known[path].trainable}
    if not any(layer.trainable_variables for path, layer in known.items() if path not in frozen):
        raise UsageError("freeze leaves no layer to train in the first epoch. Leave one out, such as the last.")
    return LayerPlan(tuple((layer, _first_epoch(path, layer, settings.unfreeze)) for path, layer in frozen.items()))


def rates(model: keras.Model, settings: Training) -> list[float] | None:
    """Compute the share of the learning rate for each of `model.trainable_variables`; `None` where all have the whole.

    `layer_rates` goes before `depth_rate`, which rises geometrically from the first layer with weights to the last.
    """
    if not settings.layer_rates and settings.depth_rate == 1:
        return None
    known = named_layers(model)
    share: dict[int, float] = {}
    for place, (path, layer) in enumerate(known.items()):
        own = [prefix for prefix in settings.layer_rates if _fits(path, layer, (prefix,))]
        depth = settings.depth_rate ** (1 - place / max(1, len(known) - 1))
        rate = settings.layer_rates[max(own, key=len)] if own else depth
        share.update((id(variable), rate) for variable in layer.trainable_variables)
    return [share.get(id(variable), 1.0) for variable in model.trainable_variables]


def named_layers(model: keras.Model) -> dict[str, keras.layers.Layer]:
    """Find every layer with weights, from the input to the head, by path: `conv1`, or `resnet50/conv1` in a network."""
    found: dict[str, keras.layers.Layer] = {}

    def walk(layers: Iterable[Any], path: str) -> None:
        for layer in layers:
            if isinstance(layer, keras.Model):
                walk(layer.layers, f"{path}{layer.name}/")
            elif layer.weights:
                found[f"{path}{layer.name}"] = layer

    walk(model.layers, "")
    return found


def _fits(path: str, layer: keras.layers.Layer, prefixes: Iterable[str]) -> bool:
    return any(path.startswith(prefix) or layer.name.startswith(prefix) for prefix in prefixes)


def _first_epoch(path: str, layer: keras.layers.Layer, unfreeze: Mapping[int, tuple[str, ...]]) -> int | None:
    return min((epoch for epoch, prefixes in unfreeze.items() if _fits(path, layer, prefixes)), default=None)


def _require(prefixes: Iterable[str], known: Mapping[str, keras.layers.Layer], *, setting: str) -> None:
    """Raise `UsageError` for a beginning that fits none of the layers, with the beginnings that there are."""
    for prefix in prefixes:
        if prefix and any(_fits(path, layer, (prefix,)) for path, layer in known.items()):
            continue
        there = list(dict.fromkeys(layer.name.split("_")[0] for layer in known.values()))
        more = f" and {len(there) - SHOWN} more" if len(there) > SHOWN else ""
        which = "frozen layer" if setting == "unfreeze" else "layer with weights"
        raise UsageError(
            f"No {which} has a name that begins with {prefix!r} ({setting}). Names begin with "
            f"{', '.join(there[:SHOWN])}{more}.{did_you_mean(prefix, there)}"
        )
