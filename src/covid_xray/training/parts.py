"""Choose the split of a run."""

from collections.abc import Callable
from functools import partial
from pathlib import Path

import pandas as pd

from covid_xray.config import Training
from covid_xray.data.manifest.manifest import Manifest
from covid_xray.data.split.split import make_split, read_split
from covid_xray.errors import BadSplit
from covid_xray.evaluation.metrics.subgroups import SMALLEST

NO_CALIBRATION = (
    f"no calibration part: it would need {SMALLEST} images, some of each class. The bundle will have no temperature, "
    "no sets and no operating points"
)


def split_for(
    manifest: Manifest,
    settings: Training,
    *,
    given: Path | None = None,
    say: Callable[[str, bool], None] = lambda text, warning: None,
) -> pd.Series:
    """Read the split in the file `given`, or make a new one with the fractions of the settings.

    Where a calibration part would be too small to be of use, its images train.

    Args:
        manifest, settings: of the run.
        given: a split.csv.
        say: called with a sentence for people, and False (it is no warning).

    Raises:
        BadSplit: as `make_split` and `read_split`.
    """
    if given is not None:
        return read_split(given)
    split_into = partial(
        make_split,
        manifest,
        val_fraction=settings.val_fraction,
        test_fraction=settings.test_fraction,
        seed=settings.seed,
    )
    if settings.calibration_fraction:
        try:
            split = split_into(calibration_fraction=settings.calibration_fraction)
        except BadSplit:  # too few patients for a fourth part; any other reason is raised again below
            pass
        else:
            if (split == "calibration").sum() >= SMALLEST:
                return split
        say(NO_CALIBRATION, False)
    return split_into()
