"""Find a learning rate to begin with: raise it step by step on a network that is thrown away, until the loss diverges.

The range test of Smith 2017 (Cyclical Learning Rates for Training Neural Networks, WACV, arXiv:1506.01186), with the
geometric rise and the two suggestions of fastai (Howard and Gugger 2020, arXiv:2002.04688).
"""

import math
import tempfile
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from functools import partial
from itertools import count
from pathlib import Path
from typing import Literal

import numpy as np
import pandas as pd
from scipy.ndimage import gaussian_filter1d

from covid_xray.config import Training
from covid_xray.data.manifest.manifest import Manifest
from covid_xray.data.split.split import check_split
from covid_xray.errors import UsageError
from covid_xray.files import make_folder, replacing, write_json, write_text
from covid_xray.training import devices
from covid_xray.training.batches import Batch, prefetch, training_batches
from covid_xray.training.epochs import Progress, Run, begin_run
from covid_xray.training.train import PATHS, prepare
from covid_xray.training.within_source.batches import contrast_batches

Rule = Literal["steepest", "minimum"]
RULES: dict[Rule, str] = {
    "steepest": "steepest fall of the smoothed loss",
    "minimum": "a tenth of the rate with the lowest smoothed loss",
}
SMOOTHING, LEAST = 0.05, 2.0  # sigma of the smoothing: share of the steps, and steps at least
DIVERGED = 4.0  # times the lowest smoothed loss
FELL = 0.05  # least fall of the smoothed loss, as a share of what it begins with, for a suggestion


@dataclass(frozen=True)
class RateCurve:
    """The loss of one batch at each learning rate, each rate a constant factor above the one before.

    Args:
        rates: learning rates, rising.
        losses: training loss of the batch before the step with this rate; the last one may not be finite.
        smoothed: the same, smoothed by a Gaussian over neighbouring steps.
        diverged_at: the rate at which the loss had diverged; `None` where it had not at the highest.
    """

    rates: tuple[float, ...]
    losses: tuple[float, ...]
    smoothed: tuple[float, ...]
    diverged_at: float | None

    def suggest(self, rule: Rule = "steepest") -> float | None:
        """Return a learning rate by one of `RULES`; `None` where the loss did not fall clearly."""
        smoothed = np.array(self.smoothed)
        lowest = int(smoothed.argmin())
        if lowest < 2 or smoothed[0] - smoothed[lowest] < FELL * abs(smoothed[0]):
            return None
        if rule == "minimum":
            return self.rates[lowest] / 10
        return self.rates[int(np.gradient(smoothed[: lowest + 1]).argmin())]

    def to_frame(self) -> pd.DataFrame:
        """Return one row for each step: learning_rate, loss, smoothed."""
        table = pd.DataFrame({"learning_rate": self.rates, "loss": self.losses, "smoothed": self.smoothed})
        return table.rename_axis("step")


def search_rates(
    manifest: Manifest,
    split: pd.Series,
    *,
    settings: Training,
    folder: Path,
    progress: Progress = lambda *_: None,
    steps: int = 100,
    lowest: float = 1e-7,
    highest: float = 10.0,
) -> RateCurve:
    """Prepare a run of `settings` in a temporary folder below `folder`, and search with its network (`find_rates`).

    Raises:
        UsageError, BadManifest, BadSplit: as `training.train.train`.
    """
    make_folder(folder)
    check_split(manifest, split)
    with tempfile.TemporaryDirectory(dir=folder, prefix=".rates-") as scratch:
        run = prepare(manifest, split, settings=settings, out=Path(scratch), cache=None, progress=progress)
        watch = partial(progress, "rates")
        return find_rates(run, steps=steps, lowest=lowest, highest=highest, watch=watch)


def find_rates(
    run: Run,
    *,
    steps: int = 100,
    lowest: float = 1e-7,
    highest: float = 10.0,
    watch: Callable[[int, int, str], None] = lambda step, steps, note: None,
) -> RateCurve:
    """Train `run.model` for up to `steps` batches at rising rates; its weights are of no use afterwards.

    Layers are frozen as in the first epoch of the run, and the head is fitted before where the run would do so.

    Args:
        run: a run that was prepared and not begun; nothing is written into its folder.
        steps: number of batches, drawn and augmented as in training.
        lowest, highest: the first and the last rate.
        watch: called with (step, steps, note).

    Raises:
        UsageError: fewer than 10 steps, or rates in the wrong order.
    """
    if steps < 10 or not 0 < lowest < highest:
        raise UsageError("Give at least 10 steps, and a lowest rate above 0 and below the highest.")
    begin_run(run)
    rates, losses = np.geomspace(lowest, highest, steps).tolist(), []
    recent, best = 0.0, math.inf
    for step, (rate, batch) in enumerate(zip(rates, prefetch(_batches(run)), strict=False), start=1):
        run.model.optimizer.learning_rate.assign(rate)
        run.model.reset_metrics()
        loss = float(devices.train_on_batch(run.model, batch.x, batch.y, weight=batch.weight)["loss"])
        losses.append(loss)
        recent = loss if step == 1 else 0.7 * recent + 0.3 * loss
        best = min(best, recent)
        watch(step, steps, f"rate {rate:.1e}, loss {loss:.3f}")
        if not math.isfinite(loss) or (step > steps // 10 and recent > DIVERGED * best):
            return _curve(rates[:step], losses, diverged_at=rate)
    return _curve(rates, losses, diverged_at=None)


def write_curve(curve: RateCurve, folder: Path, *, settings: Training, rule: Rule = "steepest") -> float | None:
    """Write rates.csv, rates.json and rates.png; return the suggestion."""
    from covid_xray.training.rates.rate_chart import draw_rates

    make_folder(folder)
    write_text(folder / "rates.csv", curve.to_frame().to_csv(float_format="%.6g"))
    suggestion = curve.suggest(rule)
    facts = {
        "suggestion": suggestion,
        "rule": rule,
        "rules": {name: {"meaning": RULES[name], "learning_rate": curve.suggest(name)} for name in RULES},
        "steps": len(curve.rates),
        "lowest": curve.rates[0],
        "highest": curve.rates[-1],
        "diverged_at": curve.diverged_at,
        "source": "Smith 2017, arXiv:1506.01186",
        "settings": settings.model_dump(mode="json", exclude=PATHS),
    }
    write_json(folder / "rates.json", facts)
    with replacing(folder / "rates.png") as temporary:
        temporary.write_bytes(draw_rates(curve.to_frame(), {name: curve.suggest(name) for name in RULES}, chosen=rule))
    return suggestion


def describe(curve: RateCurve, rule: Rule) -> str:
    """Name the suggestion, its rule and the other one in a sentence."""
    found = {name: curve.suggest(name) for name in RULES}
    if found[rule] is None:
        return (
            "No suggestion: the loss did not fall clearly at any rate. Give more --steps, a larger batch_size, or look "
            "at the images with `covid-xray doctor`."
        )
    other = next(name for name in RULES if name != rule)
    end = f"; it diverged at {curve.diverged_at:.2g}" if curve.diverged_at else ""
    return f"learning_rate={found[rule]:.2g} ({RULES[rule]}). {found[other]:.2g} would be {RULES[other]}{end}."


def _batches(run: Run) -> Iterator[Batch]:
    make = contrast_batches if run.settings.objective == "within_source" else training_batches
    for epoch in count(1):
        yield from make(run.train, settings=run.settings, epoch=epoch)


def _curve(rates: list[float], losses: list[float], *, diverged_at: float | None) -> RateCurve:
    """Smooth what is finite; the last value stands for one that is not."""
    finite = [loss for loss in losses if math.isfinite(loss)] or [0.0]
    filled = finite + [finite[-1]] * (len(losses) - len(finite))
    ceiling = 2 * max(filled[: len(filled) // 10 or 1])  # one huge loss at the end would hide the minimum before it
    smoothed = gaussian_filter1d(np.minimum(filled, ceiling), max(LEAST, SMOOTHING * len(losses)), mode="nearest")
    return RateCurve(tuple(rates), tuple(losses), tuple(smoothed.tolist()), diverged_at)
