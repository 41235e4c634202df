"""A bundle and the images of its run in, its input gate recorded out, with what to tell people of it.

`covid-xray calibrate` and the end of training both come here.
"""

from pathlib import Path
from typing import Any

import pandas as pd

from covid_xray.bundle.bundle import record
from covid_xray.bundle.predictor import Predictor
from covid_xray.data.manifest import Manifest
from covid_xray.errors import InputRefused
from covid_xray.evaluation.gate_fit import RATE, gate_of_run
from covid_xray.evaluation.gate_sample import Progress

Facts = dict[str, Any]


def store_gate(
    folder: Path,
    manifest: Manifest,
    split: pd.Series,
    *,
    part: str,
    rate: float = RATE,
    progress: Progress | None = None,
) -> Facts:
    """Fit the gate on the run's training images and record it in the bundle in `folder`; arguments as `gate_of_run`.

    Returns:
        What `summary` tells: `rate`, `images` and `refused`; or `note` where there are too few images and the bundle
        stays as it was.
    """
    try:
        facts = gate_of_run(Predictor(folder), manifest, split, part=part, rate=rate, progress=progress)
    except InputRefused as error:
        if error.code != "gate-too-few":
            raise
        return {"note": f"no gate was stored: {error.message}"}
    record(folder, gate=facts)
    return {name: facts[name] for name in ("rate", "images", "refused")}


def summary(told: Facts) -> str:
    """One sentence for people."""
    if "note" in told:
        return str(told["note"])
    shares = [f"{share:.1%} ({name})" for name, share in told["refused"].items() if share is not None]
    return (
        f"gate from {told['images']['train']:,} training images: refuses {' and '.join(shares)} of good images, "
        f"at most {told['rate']:.1%} asked for"
    )
