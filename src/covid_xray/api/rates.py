"""Find a learning rate from Python, as `covid-xray lr-find` does."""

import os
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

import pandas as pd

from covid_xray.api.progress import stages
from covid_xray.api.results import Scratch
from covid_xray.api.workflow import Data, named, overrides_of, parts_of, read
from covid_xray.config import Training, load
from covid_xray.data.manifest.manifest import require_classes

if TYPE_CHECKING:
    import keras
    from PIL import Image


@dataclass(frozen=True)
class LearningRates:
    """The loss at rising learning rates, and a rate to begin with.

    Args:
        folder: holds rates.json, rates.csv and rates.png.
        suggestion: a learning rate; `None` where the loss did not fall clearly.
        summary: suggestion and rule in a sentence.
    """

    folder: Path
    suggestion: float | None
    summary: str
    _kept: Any = field(default=None, repr=False, compare=False)  # deletes a temporary folder with this object

    @property
    def figure(self) -> "Image.Image":
        """The chart of loss against rate."""
        from PIL import Image

        with Image.open(self.folder / "rates.png") as picture:
            return picture.copy()

    def to_frame(self) -> pd.DataFrame:
        """Return one row for each step: learning_rate, loss, smoothed."""
        return pd.read_csv(self.folder / "rates.csv", index_col="step")

    def _repr_png_(self) -> bytes:
        return (self.folder / "rates.png").read_bytes()


def find_learning_rate(
    data: Data,
    *,
    output: str | os.PathLike[str] | None = None,
    images: str | Path | None = None,
    split: pd.Series | str | Path | None = None,
    model: "str | keras.Model | Callable[..., keras.Model] | None" = None,
    steps: int = 100,
    lowest: float = 1e-7,
    highest: float = 10.0,
    rule: Literal["steepest", "minimum"] = "steepest",
    progress: bool = True,
    **settings: Any,
) -> LearningRates:
    """Raise the learning rate step by step on a network that is thrown away, until the loss diverges.

    The range test of Smith 2017 (arXiv:1506.01186). A model that is handed over keeps its weights.

    Args:
        data: as of `train`; so are `images`, `model` and `settings`, those of the training to come.
        output: folder of the results; default: a temporary one that lives as long as the object.
        split: part of each image; only the part `train` is used.
        steps: number of batches, each at a higher rate, from `lowest` to `highest`.
        rule: `steepest` fall of the smoothed loss, or a tenth of the rate with its `minimum`.
        progress: show bars.

    Examples:
        >>> from covid_xray import find_learning_rate
        >>> rates = find_learning_rate("scans", steps=50, image_size=128)  # doctest: +SKIP

    Raises:
        UsageError, BadManifest, BadSplit: as `train`.
    """
    from covid_xray.training.quiet import quiet_tensorflow

    quiet_tensorflow()
    from covid_xray.training.rates.rate_finder import describe, search_rates, write_curve
    from covid_xray.training.train import check_start

    kept = None if output is not None else Scratch()
    folder = kept.path if kept else Path(str(output))
    with named(model) as setting, stages(show=progress) as update:
        chosen = check_start(load(Training, overrides=overrides_of({**settings, **setting})), folder)
        manifest = read(data, images=images, progress=progress)
        require_classes(manifest)
        parts = parts_of(manifest, chosen, split)
        curve = search_rates(manifest, parts, settings=chosen, folder=folder, progress=update,
                             steps=steps, lowest=lowest, highest=highest)  # fmt: skip
    suggestion = write_curve(curve, folder, settings=chosen, rule=rule)
    return LearningRates(folder, suggestion, describe(curve, rule), kept)
