"""Check a bundle on a hospital's own images: read, answer, adapt, judge, and write the site file with its page."""

import datetime
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
import pandas as pd

from covid_xray.data.manifest.manifest import Manifest
from covid_xray.errors import InputRefused, UsageError
from covid_xray.evaluation.metrics.attributes import read_attributes
from covid_xray.evaluation.metrics.intervals import bootstrap
from covid_xray.evaluation.predictions import Progress
from covid_xray.evaluation.site.adaptation import (
    Trial,
    offset_trials,
    threshold_in_folds,
    with_temperature,
    with_threshold,
)
from covid_xray.evaluation.site.answers import Answers, Share, answer_images
from covid_xray.evaluation.site.reference import Reference, open_reference
from covid_xray.evaluation.site.rule import Rule
from covid_xray.evaluation.site.verdict import Candidate, candidate, choose
from covid_xray.inference.drift import reference as drift
from covid_xray.inference.predictor import Predictor
from covid_xray.inference.site.correction import Correction, healthy_class
from covid_xray.inference.site.decision import at_site
from covid_xray.inference.site.site_file import Site, correction_facts

SURE = 0.95  # probability above which an answer against the label is worth a human look
LISTED = 12  # such images on the page


@dataclass(frozen=True, eq=False)
class Kind:
    """Images of one kind: those from one vendor, say."""

    attribute: str
    group: str
    false_positives: Share
    cannot_say: Share


@dataclass(frozen=True, eq=False)
class Commissioning:
    """All that was found at one hospital.

    Args:
        name: of the hospital.
        verdict: `fit`, `fit-with-site-threshold` or `not-fit`.
        rule: that was applied.
        answers: of its images.
        manifest: the images that were used, and those that were left out with the reason.
        used: the way of answering that is in force.
        candidates: all that were tried, the bundle as it ships first.
        trials: offsets of the features.
        in_folds: false positives of the site's threshold in folds that did not choose it; `None` without one.
        figures: `auroc` and `ece` with intervals, where there are enough labels.
        distances: source of the training to the distance of its healthy features, and what chance alone gives.
        kinds: false positives and "cannot say" by kind of picture.
        doubtful: image, label, P(ill): confident answers against the label.
        reference: of the bundle.
        previous: the site file before, where there was one.
    """

    name: str
    verdict: str
    rule: Rule
    answers: Answers
    manifest: Manifest
    used: Candidate
    candidates: tuple[Candidate, ...]
    trials: tuple[Trial, ...]
    in_folds: Share | None
    figures: Mapping[str, Mapping[str, Any]]
    distances: Mapping[str, tuple[float, float]]
    kinds: tuple[Kind, ...]
    doubtful: tuple[tuple[str, str, float], ...]
    reference: Reference | None
    previous: Site | None = None

    @property
    def provisional(self) -> bool:
        """Return whether there are too few healthy images for more than a first impression."""
        return int(self.answers.healthy.sum()) < self.rule.provisional_below


def commission(
    predictor: Predictor,
    manifest: Manifest,
    *,
    name: str,
    rule: Rule | None = None,
    previous: Site | None = None,
    progress: Progress | None = None,
) -> Commissioning:
    """Check the bundle of `predictor`, which has no site, on the images of `manifest`.

    Args:
        predictor: of the bundle.
        manifest: of `images.read_images`.
        name: of the hospital.
        rule: `None` for the default.
        previous: the site file of an earlier check, to compare with.
        progress: called with (images done, images in all).

    Raises:
        InputRefused: fewer than `rule.least_images` images (code `too-few`).
        UsageError: the bundle has no healthy class.
    """
    rule = rule or Rule()
    require_enough(manifest, rule)
    well = require_healthy_class(predictor)
    answers = answer_images(predictor, manifest, well=well, progress=progress)
    if not answers.findings:
        raise InputRefused("Not one of the images got an answer. Give frontal chest radiographs.", code="no-answers")
    reference = open_reference(predictor.bundle.facts)
    trials = offset_trials(answers, reference, rule, temperature=predictor.bundle.temperature)
    candidates = _candidates(answers, reference, trials, rule)
    verdict, used = choose(candidates)
    return Commissioning(
        name=name,
        verdict=verdict,
        rule=rule,
        answers=answers,
        manifest=manifest,
        used=used,
        candidates=tuple(candidates),
        trials=tuple(trials),
        in_folds=threshold_in_folds(answers, rule) if len(candidates) > 1 else None,
        figures=_figures(answers, used.correction, rule),
        distances=distances(answers, reference),
        kinds=tuple(_kinds(answers, used.correction)),
        doubtful=tuple(_doubtful(answers, used.correction)),
        reference=reference,
        previous=previous,
    )


def require_enough(manifest: Manifest, rule: Rule) -> None:
    """Raise `InputRefused` (code `too-few`) for fewer images than the rule asks for."""
    if len(manifest.table) < rule.least_images:
        raise InputRefused(
            f"Too few images: {len(manifest.table)}. Give at least {rule.least_images}; 50 healthy ones or more are "
            "better.",
            code="too-few",
        )


def require_healthy_class(predictor: Predictor) -> str:
    """Return the healthy class of the bundle. Raises `UsageError` where there is none."""
    well = healthy_class(predictor.bundle.facts)
    if well is None:
        raise UsageError(
            f"This bundle has no healthy class: it answers {', '.join(predictor.classes)}. A bundle with the class "
            "normal is needed."
        )
    return well


def site_facts(found: Commissioning, predictor: Predictor, *, signed_by: str | None) -> dict[str, Any]:
    """Return the content of `site.json` without format and hash."""
    today = datetime.datetime.now(datetime.UTC).date()
    rates, table = found.used.rates, found.answers.table
    left_out = found.manifest.quarantine["code"].value_counts().to_dict()
    return {
        "name": found.name,
        "verdict": found.verdict,
        "rule": found.rule.model_dump(),
        "bundle_sha256": predictor.bundle.answers_sha256,
        "counts": {
            "found": found.manifest.found,
            "left_out": {str(code): int(count) for code, count in sorted(left_out.items())},
            "unreadable": len(found.answers.failures),
            "answered": len(table),
            "labels": {str(k) or "not given": int(v) for k, v in table["label"].value_counts().items()},
            "answers": rates.answers,
            **{name: share.as_dict() for name, share in vars(rates).items() if isinstance(share, Share)},
        },
        "thresholds": {
            "used": {"name": found.used.name, **correction_facts(found.used.correction)},
            **{one.name: _threshold(one, found.reference) for one in found.candidates},
        },
        "signed_by": signed_by,
        "expires": (today + datetime.timedelta(days=found.rule.valid_days)).isoformat(),
    }


def distances(answers: Answers, reference: Reference | None) -> dict[str, tuple[float, float]]:
    """Return how far the site's features lie from the healthy of each source of training, and what chance gives.

    The distance is the root mean square, over the features that vary, of the difference of two means in standard
    deviations; of two samples of n and m images of one population it is about sqrt(1/n + 1/m). With labels the
    site's healthy are compared, without them all of its images.
    """
    if reference is None:
        return {}
    rows = answers.embeddings[answers.healthy] if answers.healthy.any() else answers.embeddings
    found = {}
    for name, one in reference.healthy.items():
        varies = one.variance > 1e-4 * one.variance.max()
        away = (rows.mean(axis=0) - one.mean)[varies] / np.sqrt(one.variance[varies])
        found[name] = (float(np.sqrt(np.mean(away**2))), float(np.sqrt(1 / len(rows) + 1 / one.images)))
    return dict(sorted(found.items(), key=lambda item: item[1][0]))


def _candidates(answers: Answers, reference: Reference | None, trials: list[Trial], rule: Rule) -> list[Candidate]:
    """The bundle as it ships, then the threshold of the site: on the best offset that is kept, and on none."""
    plain = Correction()
    found = [candidate("shipped", plain, answers, reference, rule)]
    kept = [one for one in trials if one.kept]
    bases = [min(kept, key=lambda one: one.false_positives.count).correction] if kept else []
    for base in (*bases, plain) if answers.healthy.any() else ():
        correction = with_threshold(answers, base, rule)
        if correction is not None and correction.changes:
            correction = with_temperature(answers, correction, rule)
            found.append(candidate("site", correction, answers, reference, rule))
    return found


def _figures(answers: Answers, correction: Correction, rule: Rule) -> dict[str, dict[str, Any]]:
    """AUROC and calibration error of P(ill) with intervals, from `rule.auroc_from` labelled images of both kinds."""
    known = answers.healthy | answers.ill
    y = answers.ill[known]
    if known.sum() < rule.auroc_from or y.all() or not y.any():
        return {}
    z = answers.scores[known] + correction.offset(answers.embeddings[known]) - correction.threshold
    ill = 1 / (1 + np.exp(-z / correction.temperature))
    found = bootstrap(y.astype(int), np.column_stack([1 - ill, ill]), ("well", "ill"))
    return {name: found[key].as_dict() for name, key in (("auroc", "auroc/ill"), ("ece", "ece")) if key in found}


def _kinds(answers: Answers, correction: Correction) -> list[Kind]:
    said = answers.labels(correction)
    silent = said == "cannot say"
    ill = ~silent & (said != answers.classes[answers.well])
    kinds = []
    for attribute in read_attributes(_with_portable(answers.table)):
        for group in attribute.order if len(attribute.order) > 1 else ():
            inside = attribute.groups == group
            healthy = inside & answers.healthy
            kinds.append(
                Kind(
                    attribute.title,
                    group,
                    Share(int((ill & healthy).sum()), int(healthy.sum())),
                    Share(int((silent & inside).sum()), int(inside.sum())),
                )
            )
    return kinds


def _with_portable(table: pd.DataFrame) -> pd.DataFrame:
    """Name portable films in the view, where the table has such a column."""
    if "portable" not in table:
        return table
    portable = table["portable"].str.lower().isin(["1", "yes", "true", "portable"])
    view = table["view"] if "view" in table else pd.Series("", index=table.index)
    return table.assign(view=view.where(~portable, (view + " portable").str.strip()))


def _doubtful(answers: Answers, correction: Correction) -> list[tuple[str, str, float]]:
    """Images with a label that the answer contradicts with confidence, the surest first."""
    z = answers.scores + correction.offset(answers.embeddings) - correction.threshold
    ill = 1 / (1 + np.exp(-z / correction.temperature))
    wrong = (answers.healthy & (ill > SURE)) | (answers.ill & (ill < 1 - SURE))
    rows = np.flatnonzero(wrong)
    rows = rows[np.argsort(-np.abs(ill[rows] - 0.5))]
    return [(str(answers.table["image"][i]), str(answers.table["label"][i]), float(ill[i])) for i in rows]


def _threshold(one: Candidate, reference: Reference | None) -> dict[str, Any]:
    elsewhere = reference.sensitivity(one.correction.threshold - one.correction.constant) if reference else None
    return {
        "log_odds": one.correction.threshold,
        "fit": one.fit,
        "false_positives": one.rates.false_positives.as_dict(),
        "sensitivity_elsewhere": None if elsewhere is None else round(elsewhere, 4),
    }


def drift_reference(found: Commissioning, *, model_sha256: str) -> drift.Reference:
    """Draw the sample that drift monitoring compares with: the answers as this hospital will get them."""
    answers, used = found.answers, found.used.correction
    findings = [at_site(one, used, answers.contents, well=answers.well) for one in answers.findings]
    return drift.Reference.from_findings(findings, model_sha256=model_sha256)
