"""Turn calibrated probabilities and the verdicts of the gate into an answer: a class, or "cannot say" with reasons."""

import dataclasses
from collections.abc import Mapping
from typing import Any

import numpy as np

from covid_xray.bundle.contents import Contents
from covid_xray.inference.finding import CANNOT_SAY, NOT_CHECKED, NOT_FIT, Finding, LungFacts, SiteCheck
from covid_xray.inference.gate import Verdict
from covid_xray.inference.gate import reasons as objections
from covid_xray.inference.lungs import Lungs
from covid_xray.inference.prediction_sets import prediction_set, undecided
from covid_xray.inference.site.correction import Correction
from covid_xray.inference.thresholds import passed
from covid_xray.inference.two_step import probability_ill, two_step_reasons


def decide(
    probabilities: Mapping[str, float],
    contents: Contents,
    *,
    gate: Mapping[str, Verdict] | None,
    known: float | None,
    lungs: Lungs | LungFacts | None,
    site: tuple[str, ...] = (),
) -> dict[str, Any]:
    """The fields of a `Finding` that follow from its probabilities.

    Args:
        probabilities: class to calibrated probability.
        contents: of the bundle.
        gate: verdicts of the input checks.
        known: share of P(ill) that is an illness which is answered; `None` for a network of one step.
        lungs: what was found of them.
        site: reasons of `site_reasons`.
    """
    finite = all(np.isfinite(list(probabilities.values())))
    kept = prediction_set(probabilities, contents.conformal) if finite else None
    own = two_step_reasons(probabilities, known, contents, lungs=lungs)
    reasons = (*site, *objections(gate), *own, *undecided(kept, finite=finite))
    points, sha256 = contents.operating_points, contents.model.sha256
    return {
        "label": CANNOT_SAY if reasons else max(probabilities, key=probabilities.__getitem__),
        "reasons": reasons,
        "prediction_set": kept,
        # Points are chosen on `model.onnx`; they serve its quantised form as temperature and sets do.
        "operating_points": passed(probabilities, points, sha256=sha256) if finite else None,
        "ill": probability_ill(probabilities, contents) if finite else None,
    }


def site_reasons(site: SiteCheck | None, *, required: bool) -> tuple[str, ...]:
    """Why there is no answer at this hospital: the network is not fit there, or a check is required and missing."""
    if site is not None and site.verdict == NOT_FIT:
        return (f"not fit at {site.name}",)
    if required and site is None:
        return (NOT_CHECKED,)
    return (f"the check at {site.name} ended on {site.ended}",) if required and site and site.ended else ()


def at_site(finding: Finding, correction: Correction, contents: Contents, *, well: int) -> Finding:
    """The finding of a predictor without a site as it would be with `correction`; `well` as in `Correction.apply`."""
    row = np.array([list(finding.probabilities.values())], dtype=np.float32)
    assert finding.embedding is not None  # every predictor gives it
    moved = correction.apply(row, finding.embedding[None], well=well)[0]
    probabilities = dict(zip(finding.probabilities, map(float, moved), strict=True))
    decided = decide(probabilities, contents, gate=finding.gate, known=finding.known, lungs=finding.lungs)
    return dataclasses.replace(finding, probabilities=probabilities, **decided)
