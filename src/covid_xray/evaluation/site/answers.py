"""Answer a hospital's images once, and count what any correction makes of the answers."""

from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from covid_xray.bundle.contents import Contents
from covid_xray.data.manifest.manifest import Manifest
from covid_xray.data.manifest.readers import Refusal
from covid_xray.evaluation.predictions import Progress
from covid_xray.evaluation.site.rule import lower_bound, upper_bound
from covid_xray.inference.finding import CANNOT_SAY, Failure, Finding
from covid_xray.inference.predictor import Predictor
from covid_xray.inference.site.correction import Correction, log_odds
from covid_xray.inference.site.decision import at_site

Array = NDArray[np.float64]


@dataclass(frozen=True)
class Share:
    """A number of images among a total."""

    count: int
    total: int

    @property
    def value(self) -> float | None:
        """Return the share, or `None` of nothing."""
        return self.count / self.total if self.total else None

    def upper(self, confidence: float) -> float:
        """Return the upper end of the exact one-sided interval."""
        return upper_bound(self.count, self.total, confidence=confidence)

    def lower(self, confidence: float) -> float:
        """Return the lower end of the exact one-sided interval."""
        return lower_bound(self.count, self.total, confidence=confidence)

    def as_dict(self) -> dict[str, int]:
        """Return it as `site.json` holds it."""
        return {"count": self.count, "of": self.total}


@dataclass(frozen=True, eq=False)
class Answers:
    """The findings of a hospital's readable images, by the bundle as it ships.

    Args:
        table: N rows of the manifest; `label` is "" where it is not known.
        findings: N findings without a site.
        scores: N log odds of being ill.
        embeddings: N x D.
        contents: of the bundle.
        classes: of the bundle.
        well: place of the healthy class in them.
        failures: images that got no answer.
    """

    table: pd.DataFrame
    findings: tuple[Finding, ...]
    scores: Array
    embeddings: Array
    contents: Contents
    classes: tuple[str, ...]
    well: int
    failures: tuple[Refusal, ...] = ()

    @property
    def healthy(self) -> NDArray[np.bool_]:
        """Return which images are labelled healthy."""
        return (self.table["label"] == self.classes[self.well]).to_numpy(dtype=bool)

    @property
    def ill(self) -> NDArray[np.bool_]:
        """Return which images are labelled with an illness of the bundle."""
        return self.table["label"].isin([c for i, c in enumerate(self.classes) if i != self.well]).to_numpy(dtype=bool)

    def labels(self, correction: Correction) -> NDArray[np.str_]:
        """Return the N answers with `correction`."""
        found = [at_site(one, correction, self.contents, well=self.well).label for one in self.findings]
        return np.array(found, dtype=str)

    def rates(self, correction: Correction) -> "Rates":
        """Count the answers with `correction`."""
        said = self.labels(correction)
        called_ill = (said != CANNOT_SAY) & (said != self.classes[self.well])
        silent = said == CANNOT_SAY
        names, counts = np.unique(said, return_counts=True)
        return Rates(
            false_positives=_share(called_ill, self.healthy),
            cannot_say=_share(silent, np.ones(len(said), dtype=bool)),
            cannot_say_healthy=_share(silent, self.healthy),
            sensitivity=_share(called_ill, self.ill),
            cannot_say_ill=_share(silent, self.ill),
            right_illness=_share(said == self.table["label"].to_numpy(dtype=str), self.ill),
            answers={str(name): int(count) for name, count in zip(names, counts, strict=True)},
        )


@dataclass(frozen=True)
class Rates:
    """What is answered: of the healthy, of the ill, and of all readable images."""

    false_positives: Share  # healthy that are called ill
    cannot_say: Share
    cannot_say_healthy: Share
    sensitivity: Share  # ill that are called ill, whichever illness
    cannot_say_ill: Share
    right_illness: Share  # ill that are called by the right illness
    answers: dict[str, int]


def answer_images(predictor: Predictor, manifest: Manifest, *, well: str, progress: Progress | None = None) -> Answers:
    """Answer every image of `manifest` with a predictor without a site.

    Args:
        predictor: of the bundle.
        manifest: of the hospital.
        well: the healthy class.
        progress: called with (images done, images in all).
    """
    paths = [Path(manifest.path(image)) for image in manifest.table["image"]]
    found: list[Finding | Failure] = []
    for answer in predictor.predict_many(paths):
        found.append(answer)
        if progress:
            progress(len(found), len(paths))
    good = np.array([isinstance(one, Finding) and _finite(one) for one in found], dtype=bool)
    findings = tuple(one for one, keep in zip(found, good, strict=True) if keep and isinstance(one, Finding))
    names = manifest.table["image"].to_numpy(dtype=str)
    place = predictor.classes.index(well)
    p = np.array([list(one.probabilities.values()) for one in findings]).reshape(-1, len(predictor.classes))
    return Answers(
        table=manifest.table[good].reset_index(drop=True),
        findings=findings,
        scores=log_odds(p, well=place),
        embeddings=np.array([one.embedding for one in findings], dtype=np.float64),
        contents=predictor.bundle.contents,
        classes=predictor.classes,
        well=place,
        failures=tuple(_refusal(name, one) for name, one, keep in zip(names, found, good, strict=True) if not keep),
    )


def _share(hits: NDArray[np.bool_], among: NDArray[np.bool_]) -> Share:
    return Share(int((hits & among).sum()), int(among.sum()))


def _finite(finding: Finding) -> bool:
    embedding = finding.embedding
    return bool(np.isfinite(list(finding.probabilities.values())).all()) and (
        embedding is not None and bool(np.isfinite(embedding).all())
    )


def _refusal(name: str, answer: Finding | Failure) -> Refusal:
    if isinstance(answer, Failure):
        return Refusal(name, answer.code, answer.message)
    return Refusal(name, "not-finite", "The network returned NaN or infinity.")
