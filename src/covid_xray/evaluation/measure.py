"""Compute the content of `metrics.json`: metrics with intervals, by source and subgroup, and warnings."""

from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from covid_xray.data.doctor.pitfall import cramers_v
from covid_xray.data.manifest.manifest import Manifest
from covid_xray.evaluation.metrics.abstention import measure_abstention
from covid_xray.evaluation.metrics.calibration import compare_calibration
from covid_xray.evaluation.metrics.conformal import measure_coverage
from covid_xray.evaluation.metrics.decisions import evaluate_decisions
from covid_xray.evaluation.metrics.guessing import compare_with_guessing
from covid_xray.evaluation.metrics.intervals import bootstrap
from covid_xray.evaluation.metrics.metrics import ECE_BINS, confusion
from covid_xray.evaluation.metrics.subgroup_gaps import measure_subgroups
from covid_xray.evaluation.metrics.subgroups import (
    CONFOUNDED,
    NOT_STATED,
    SMALLEST,
    by_column,
    patient_groups,
    worst_group,
)
from covid_xray.evaluation.predictions import ModelIdentity, Predictions
from covid_xray.files import shown

LEVEL = 0.95
WORST_BY = "accuracy"  # every source has it; in a source of one class it is the sensitivity of that class
TOO_GOOD = 0.99

Groups = NDArray[np.str_] | None
Facts = dict[str, Any]


def measure(
    predictions: Predictions,
    manifest: Manifest,
    model: ModelIdentity,
    *,
    rounds: int,
    seed: int,
    prevalence: str | None = None,
) -> Facts:
    """Return everything that metrics.json holds except title, banner and baselines; no NaN anywhere.

    Args:
        predictions: at least one scored image.
        manifest: what was evaluated, with patients, sources and quarantine.
        model: name, version and hash of the network.
        rounds, seed: of the bootstrap.
        prevalence: class mix of a population, such as `covid=0.05,virus=0.1`; `UsageError` where invalid.
    """
    groups = patient_groups(predictions, manifest)
    labels, p = predictions.labels, predictions.probabilities
    found = bootstrap(labels, p, predictions.classes, groups=groups, rounds=rounds, seed=seed, level=LEVEL)
    table = predictions.table
    sources = list(table["source"]) if "source" in table and (table["source"] != "").any() else None
    by_source = by_column(predictions, sources, groups=groups, rounds=rounds, seed=seed) if sources else {}
    facts: Facts = {
        "model": {"name": model.name, "version": model.version, "sha256": model.sha256},
        "classes": list(predictions.classes),
        "n_images": len(table),
        "n_patients": None if groups is None else len(set(groups)),
        "labels": _labels(predictions, groups),
        "trained_sources": _trained_sources(model),
        "figures": {name: interval.as_dict() for name, interval in found.items()},
        "guessing": compare_with_guessing(list(table["label"]), found["accuracy"].as_dict()),
        "calibration": compare_calibration(predictions, temperature=model.contents.temperature),
        "conformal": _conformal(predictions, model, sources),
        **evaluate_decisions(
            predictions, model, groups=groups, sources=sources, stated=prevalence, rounds=rounds, seed=seed
        ),
        "confusion_matrix": _confusion(predictions),
        "by_source": by_source,
        "worst_source": worst_group(by_source, WORST_BY),
        "subgroups": measure_subgroups(predictions, groups=groups, rounds=rounds, seed=seed, level=LEVEL),
        "confounding": {"cramers_v": _cramers_v(table) if sources else None},
        "cannot_say": int((table["reasons"] != "").sum()),
        "abstention": measure_abstention(predictions, groups=groups, rounds=rounds, seed=seed),
        "failures": _records(predictions.failures),
        "quarantined": _records(manifest.quarantine),
        "settings": {"rounds": rounds, "seed": seed, "level": LEVEL, "ece_bins": ECE_BINS},
    }
    return {**facts, "confounded": _confounded(facts), "warnings": _warnings(facts, manifest)}


def images(count: int) -> str:
    """Format a number as `1 image` or `1,204 images`."""
    return "1 image" if count == 1 else f"{count:,} images"


def _trained_sources(model: ModelIdentity) -> list[str]:
    data = model.contents.training_data
    return sorted(name for name in (data.source if data else ()) if name and name != NOT_STATED)


def _cramers_v(table: pd.DataFrame) -> float | None:
    value = cramers_v(table["label"], table["source"])
    return None if np.isnan(value) else value


def _labels(predictions: Predictions, groups: Groups) -> dict[str, Facts]:
    column = predictions.table["label"].to_numpy()
    return {
        name: {
            "images": int((column == name).sum()),
            "patients": None if groups is None else len(set(groups[column == name])),
        }
        for name in predictions.classes
    }


def _confusion(predictions: Predictions) -> Facts:
    counts = confusion(predictions.labels, predictions.predicted, len(predictions.classes))
    return {"rows": "true class", "columns": "predicted class", "counts": counts.tolist()}


def _conformal(predictions: Predictions, model: ModelIdentity, sources: list[str] | None) -> Facts | None:
    stored = model.contents.conformal
    if not stored:
        return None
    used = {key: getattr(stored, key) for key in ("method", "coverage", "images", "part")}
    return {**used, "rows": measure_coverage(predictions, stored, sources=sources)}


def _records(table: Any) -> list[dict[str, str]]:
    return [{key: shown(value) for key, value in row.items()} for row in table.to_dict("records")]


def _warnings(facts: Facts, manifest: Manifest) -> list[str]:
    found = [_trained_on(manifest), _absent(facts), _small(facts), _patients(facts, manifest)]
    found += [_too_good(facts), _failed(facts), _unsaid(facts)]
    return [text for text in found if text]


def _confounded(facts: Facts) -> str:
    v = facts["confounding"]["cramers_v"]
    if v is None or v <= CONFOUNDED:
        return ""
    return (
        f"Class and source are confounded (Cramer's V = {v:.2f}, above {CONFOUNDED}): a network that only recognises "
        "the source of an image would score high here. These figures are no evidence that it recognises disease."
    )


def _trained_on(manifest: Manifest) -> str:
    count = int((manifest.table["split"] == "train").sum()) if "split" in manifest.table else 0
    return f"{images(count)} marked as training images: figures on them are not a test." if count else ""


def _absent(facts: Facts) -> str:
    absent = [name for name, counts in facts["labels"].items() if counts["images"] == 0]
    return f"No image of {', '.join(absent)} was tested, so the figures say nothing about it." if absent else ""


def _small(facts: Facts) -> str:
    small = [f"{name} ({n['images']})" for name, n in facts["labels"].items() if 0 < n["images"] < SMALLEST]
    return f"Fewer than {SMALLEST} images of {', '.join(small)}: its figures say little." if small else ""


def _patients(facts: Facts, manifest: Manifest) -> str:
    if facts["n_patients"] is None:
        return (
            "No image names its patient: the intervals are over images, and too narrow if a patient has several images."
        )
    unknown = int((manifest.table["patient_id"] == "").sum())
    if not unknown:
        return ""
    return (
        f"{unknown:,} of {len(manifest.table):,} images name no patient; each counts as a patient of its own, "
        "so the intervals may be too narrow."
    )


def _too_good(facts: Facts) -> str:
    auroc = facts["figures"].get("auroc_macro")
    if auroc is None or auroc["value"] < TOO_GOOD:
        return ""
    return (
        f"An AUROC of {auroc['value']:.3f} is a warning, not a success: on chest X-rays a score this high mostly comes "
        "from leaks or shortcuts. Compare it with the no-lung baselines."
    )


def _failed(facts: Facts) -> str:
    count = len(facts["failures"])
    return f"{images(count)} got no score and are in no figure; the reasons are listed." if count else ""


def _unsaid(facts: Facts) -> str:
    count = facts["cannot_say"]
    if not count:
        return ""
    return f'{images(count)} would be answered "cannot say"; the figures count their most probable class.'
