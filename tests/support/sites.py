"""Draw the answers of a hospital from scores, and write site files."""

import datetime
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from covid_xray.bundle.bundle import load_bundle
from covid_xray.evaluation.site.answers import Answers
from covid_xray.evaluation.site.reference import LEVELS, Healthy, IllScores, Reference
from covid_xray.inference.finding import Finding, ModelIdentity
from covid_xray.inference.site.correction import Correction
from covid_xray.inference.site.site_file import SITE_FILE, correction_facts, make_site, write_site
from support.contents import contents

CLASSES = ("covid", "normal")
FACTS = contents(classes=list(CLASSES), well="normal", model={"sha256": "0"})
MODEL = ModelIdentity("drawn", "1", "0")


def site_answers(
    healthy: Sequence[float], ill: Sequence[float] = (), *, embeddings: np.ndarray | None = None, **columns: Any
) -> Answers:
    """Answers with these log odds of being ill; `columns` are further columns of the table."""
    scores = np.array([*healthy, *ill], dtype=np.float64)
    labels = ["normal"] * len(healthy) + ["covid"] * len(ill)
    features = np.zeros((len(scores), 2)) if embeddings is None else embeddings
    share = 1 / (1 + np.exp(-scores))
    findings = tuple(
        Finding(
            image=str(i),
            probabilities={"covid": float(p), "normal": float(1 - p)},
            label="covid" if p > 0.5 else "normal",
            reasons=(),
            prediction_set=None,
            gate=None,
            model=MODEL,
            embedding=features[i],
        )
        for i, p in enumerate(share)
    )
    table = pd.DataFrame({"image": [f"{i:03}.png" for i in range(len(scores))], "label": labels, **columns})
    return Answers(table, findings, scores, features, FACTS, CLASSES, 1)


def reference(ill: Sequence[float], *, direction: np.ndarray | None = None, features: int = 2) -> Reference:
    """A bundle's reference: ill scores of one hospital left out, healthy features of mean 0 and variance 1."""
    quantiles = np.quantile(np.asarray(ill, dtype=np.float64), LEVELS)
    return Reference(
        healthy={"home": Healthy(100, np.zeros(features), np.ones(features))},
        direction=direction,
        intercept=0.0,
        ill={"away, left out": IllScores(len(ill), True, quantiles)},
        ill_embeddings=np.zeros((0, features)),
    )


def make_site_file(
    folder: Path,
    bundle: Path,
    *,
    name: str = "St. Elsewhere",
    verdict: str = "fit",
    correction: Correction | None = None,
    days: int = 30,
) -> Path:
    """Write a site file for the bundle in `bundle` and return its folder."""
    today = datetime.datetime.now(datetime.UTC).date()
    facts = {
        "name": name,
        "verdict": verdict,
        "rule": {},
        "bundle_sha256": load_bundle(bundle).answers_sha256,
        "counts": {},
        "thresholds": {"used": {"name": "shipped", **correction_facts(correction or Correction())}},
        "signed_by": None,
        "expires": (today + datetime.timedelta(days=days)).isoformat(),
    }
    write_site(folder / SITE_FILE, make_site(facts))
    return folder
