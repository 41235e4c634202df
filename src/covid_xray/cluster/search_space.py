"""Define which settings a search may change, and sample the settings of its trials before the first one runs."""

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
    """One setting of the space."""

    key: str  # of `config.Training`
    kind: str  # loguniform, uniform or choice
    values: tuple[Any, ...]  # the two bounds, or the choices

    def sample(self, random: np.random.Generator) -> Any:
        """Sample one value."""
        if self.kind == "choice":
            return self.values[int(random.integers(len(self.values)))]
        low, high = map(float, self.values)
        if self.kind == "loguniform":
            return float(f"{np.exp(random.uniform(np.log(low), np.log(high))):.4g}")
        return float(f"{random.uniform(low, high):.4g}")


# The settings with the largest effect on a network of this size, in the ranges that papers on these data sets report.
DEFAULT = (
    Dimension("learning_rate", "loguniform", (1e-4, 1e-2)),
    Dimension("dropout", "uniform", (0.0, 0.5)),
    Dimension("batch_size", "choice", (16, 32, 64)),
)


def read_space(file: Path | None) -> tuple[Dimension, ...]:
    """Read a YAML file of `key: {kind: [values]}`; `None` for the default space. Raises `UsageError`."""
    if file is None:
        return DEFAULT
    try:
        content = yaml.safe_load(file.read_text(encoding="utf-8"))
    except (OSError, ValueError, yaml.YAMLError):
        raise UsageError(f"Cannot read the search space {file}. Give YAML of `key: {{kind: [values]}}`.") from None
    if not isinstance(content, dict) or not content:
        raise UsageError(f"{file} holds no search space. Give settings as `key: {{kind: [values]}}`.")
    return tuple(_dimension(str(key), value) for key, value in content.items())


def sample_trials(space: tuple[Dimension, ...], settings: Training, *, trials: int, seed: int) -> list[Training]:
    """Sample the settings of each trial; the first has `settings`. Raises `UsageError` for an invalid value."""
    random = np.random.default_rng(seed)
    sampled = [{dimension.key: dimension.sample(random) for dimension in space} for _ in range(trials - 1)]
    return [settings, *(_with_values(settings, values) for values in sampled)]


def _with_values(settings: Training, values: Mapping[str, Any]) -> Training:
    try:
        return Training.model_validate({**settings.model_dump(), **values})
    except pydantic.ValidationError as error:
        key = error.errors()[0]["loc"][0]
        raise UsageError(f"The search space has an invalid value: {key}={values.get(str(key))}.") from None


def _dimension(key: str, value: Any) -> Dimension:
    if key not in Training.model_fields:
        raise UsageError(f"Not a setting of training: {key!r}. `covid-xray train --help` names them.")
    kind, values = next(iter(value.items())) if isinstance(value, dict) and len(value) == 1 else (None, None)
    if kind not in KINDS or not isinstance(values, list) or not values:
        raise UsageError(f"Invalid range of {key}: {value!r}. Give one of {', '.join(KINDS)} with a list.")
    if kind != "choice":
        numbers = len(values) == 2 and all(isinstance(one, int | float) for one in values)
        if not numbers or not values[0] < values[1] or (kind == "loguniform" and values[0] <= 0):
            raise UsageError(f"Invalid range of {key}: {values!r}. {kind} needs two numbers, the smaller one first.")
    return Dimension(key, str(kind), tuple(values))
