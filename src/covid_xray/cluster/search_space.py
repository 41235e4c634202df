"""Which settings a search may change, and how far: a declared space in, the settings of each trial out.

Trials are drawn before the first one runs and written down, so that a search that was stopped goes on with the same.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pydantic
import yaml

from covid_xray.config import Training
from covid_xray.errors import UsageError

KINDS = ("loguniform", "uniform", "choice")


@dataclass(frozen=True)
class Dimension:
    """One setting of the space.

    Args:
        key: of `config.Training`.
        kind: `loguniform` or `uniform` between two values, or a `choice` of some.
        values: the two bounds, or the choices.
    """

    key: str
    kind: str
    values: tuple[Any, ...]

    def draw(self, random: np.random.Generator) -> Any:
        """One value of it."""
        if self.kind == "choice":
            return self.values[int(random.integers(len(self.values)))]
        low, high = map(float, self.values)
        if self.kind == "loguniform":
            return float(f"{np.exp(random.uniform(np.log(low), np.log(high))):.4g}")
        return float(f"{random.uniform(low, high):.4g}")


# Small on purpose: what changes a network of this size most, in the ranges that papers on these data sets report.
DEFAULT = (
    Dimension("learning_rate", "loguniform", (1e-4, 1e-2)),
    Dimension("dropout", "uniform", (0.0, 0.5)),
    Dimension("batch_size", "choice", (16, 32, 64)),
)


def read_space(file: Path | None) -> tuple[Dimension, ...]:
    """The space of a YAML file of `key: {kind: [values]}`, or the default one.

    Raises:
        UsageError: no such file, or one that does not describe a space of settings.
    """
    if file is None:
        return DEFAULT
    try:
        content = yaml.safe_load(file.read_text(encoding="utf-8"))
    except (OSError, ValueError, yaml.YAMLError):
        raise UsageError(f"expected a YAML file with a search space. Received: {file}, which cannot be read") from None
    if not isinstance(content, dict) or not content:
        raise UsageError(f"expected {file} to hold settings and their ranges. Received: something else")
    return tuple(_dimension(str(key), value) for key, value in content.items())


def draw_trials(space: tuple[Dimension, ...], settings: Training, *, trials: int, seed: int) -> list[Training]:
    """The settings of each trial; the first is the one that was given, so that the search is never worse than it.

    Raises:
        UsageError: a value that the settings do not allow.
    """
    random = np.random.default_rng(seed)
    drawn = [{dimension.key: dimension.draw(random) for dimension in space} for _ in range(trials - 1)]
    return [settings, *(_changed(settings, values) for values in drawn)]


def _changed(settings: Training, values: Mapping[str, Any]) -> Training:
    try:
        return Training.model_validate({**settings.model_dump(), **values})
    except pydantic.ValidationError as error:
        key = error.errors()[0]["loc"][0]
        raise UsageError(f"expected values that {key} may have. Received: {key}={values.get(str(key))}") from None


def _dimension(key: str, value: Any) -> Dimension:
    if key not in Training.model_fields:
        raise UsageError(f"expected a setting of training in the search space. Received: {key!r}")
    kind, values = next(iter(value.items())) if isinstance(value, dict) and len(value) == 1 else (None, None)
    if kind not in KINDS or not isinstance(values, list) or not values:
        raise UsageError(f"expected {key} as one of {', '.join(KINDS)} with a list. Received: {value!r}")
    if kind != "choice":
        numbers = len(values) == 2 and all(isinstance(one, int | float) for one in values)
        if not numbers or not values[0] < values[1] or (kind == "loguniform" and values[0] <= 0):
            raise UsageError(f"expected {key} as {kind} between two numbers. Received: {values!r}")
    return Dimension(key, str(kind), tuple(values))
