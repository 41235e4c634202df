"""Pool the predictions of all folds: figures with intervals, mean and spread over folds, and sources.

Every image was predicted by the one network that never saw it, so the pooled table is joined by image, and patients,
not folds, are resampled for the intervals. Pooled AUROC and calibration mix the scores of several networks.
"""

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, field, replace
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from covid_xray.bundle.contents import Contents, Input, NetworkFile
from covid_xray.config import Training
from covid_xray.data.manifest.manifest import Manifest, fingerprint
from covid_xray.errors import CovidXrayError, InputRefused
from covid_xray.evaluation.measure import measure
from covid_xray.evaluation.metrics.metrics import compute
from covid_xray.evaluation.predictions import Predictions, probability_columns, write_predictions
from covid_xray.evaluation.report.charts import charts
from covid_xray.evaluation.report.figures import LIGHT, Chart, render
from covid_xray.evaluation.trained_images import kept_sentence, left_out_sentence
from covid_xray.files import replacing, sha256_file, write_json, write_text
from covid_xray.training.crossval.fold_report import fold_chart, page
from covid_xray.training.crossval.folds import Fold, Protocol

MACRO = ("balanced_accuracy", "macro_f1", "auroc_macro")  # of a fold only where it holds every class
ONCE = ("packages", "machine", "precision")  # the same in every fold


def _no_bundle() -> Contents:
    return Contents("", "", (), Input(0, 0, 0), (), NetworkFile(""), 1.0)


@dataclass(frozen=True)
class _Networks:
    """The identity of the networks of all folds, for `measure`."""

    name: str
    version: str
    sha256: str = ""
    facts: Mapping[str, Any] = field(default_factory=dict)
    contents: Contents = field(default_factory=_no_bundle)


@dataclass(frozen=True, eq=False)
class Seen:
    """What the network that the folds began from knows of the pooled images.

    Args:
        counted: N booleans: the images whose scores count.
        facts: of `trained_images.leave_out_trained`.
    """

    counted: NDArray[np.bool_]
    facts: Mapping[str, Any]


def pool(answers: Sequence[Predictions], folds: Sequence[Fold], manifest: Manifest) -> Predictions:
    """Join the predictions of every held-out image in the order of the manifest, with the column `fold`.

    A class that a fold could not predict has the probability 0 there.

    Raises:
        CovidXrayError: code `lost-answer`, when an image has no answer or two.
    """
    tables, failures = [], []
    for found, fold in zip(answers, folds, strict=True):
        columns = probability_columns(manifest.classes)
        absent = {name: 0.0 for name in columns if name not in found.table}
        tables.append(found.table.assign(**absent, fold=fold.name))
        failures.append(found.failures)
    order = {image: place for place, image in enumerate(manifest.table["image"])}
    table, failed = (_concatenate(parts, order) for parts in (tables, failures))
    predicted = sorted([*table["image"], *failed["image"]])
    held = sorted(image for fold in folds for image in fold.held.table["image"])
    if predicted != held:
        raise CovidXrayError(
            f"{len(held)} images were held out, but there are {len(predicted)} predictions of them, or two of one.",
            code="lost-answer",
        )
    return Predictions(table, manifest.classes, failed)


def write_study(
    predictions: Predictions,
    records: Sequence[dict[str, Any]],
    manifest: Manifest,
    *,
    folds: Sequence[Fold],
    protocol: Protocol,
    settings: Training,
    out: Path,
    rounds: int,
    seen: Seen | None = None,
) -> dict[str, Any]:
    """Write predictions.csv, figures/, crossval.md and, last, crossval.json to `out`; return the content of the last.

    Images that the networks knew before (`seen`) are in no figure. Raises `InputRefused` where no image was scored.
    """
    write_predictions(out / "predictions.csv", predictions)
    if predictions.table.empty:
        first = predictions.failures.iloc[0]
        raise InputRefused(f"None of the images could be scored. The first: {first['message']}")
    predictions = predictions.take(seen.counted) if seen else predictions
    whole = replace(manifest, table=manifest.table.drop(columns="split", errors="ignore"))
    each = [_of_fold(predictions, record) for record in records]
    made = next((record for record in records if not record["problem"]), {})
    facts = {
        "title": _title(protocol, settings, folds, predictions),
        "banner": banner(protocol, folds, seen),
        "trained_images": seen.facts if seen else None,
        "protocol": asdict(protocol),
        **measure(
            predictions, whole, _Networks(settings.model, fingerprint(manifest)[:12]), rounds=rounds, seed=protocol.seed
        ),
        "over_folds": over_folds([fold["figures"] for fold in each]),
        "folds": each,
        "leaking": sum(fold.leaking for fold in folds),
        "training": settings.model_dump(mode="json"),
        "made": {name: made.get(name) for name in ONCE},
        "seconds": round(sum(record["seconds"] for record in records), 1),
        "predictions_sha256": sha256_file(out / "predictions.csv"),
    }
    facts["warnings"] = [*facts["warnings"], *_remarks(folds, manifest, seen)]
    drawn = [Chart("folds", "Folds", "Accuracy and macro-F1 of each fold", lambda theme: fold_chart(facts, theme))]
    for chart in [*drawn, *charts(predictions, facts, None)]:
        with replacing(out / "figures" / f"{chart.name}.png") as temporary:
            temporary.write_bytes(render(chart, LIGHT))
    write_text(out / "crossval.md", page(facts))
    write_json(out / "crossval.json", facts)
    return facts


def over_folds(figures: Sequence[Mapping[str, float]]) -> dict[str, dict[str, float]]:
    """Compute mean and standard deviation (n - 1) of each figure over the folds that have it, two at least."""
    names = dict.fromkeys(name for fold in figures for name in fold)
    values = {name: [fold[name] for fold in figures if name in fold] for name in names}
    return {
        name: {"mean": float(np.mean(found)), "sd": float(np.std(found, ddof=1)), "folds": len(found)}
        for name, found in values.items()
        if len(found) > 1
    }


def banner(protocol: Protocol, folds: Sequence[Fold], seen: Seen | None = None) -> str | None:
    """Write the warnings above the figures of folds that leak or that began from a network that knows the images."""
    known = kept_sentence(seen.facts) if seen else ""
    return " ".join(text for text in (_leak(protocol, folds), known) if text) or None


def _leak(protocol: Protocol, folds: Sequence[Fold]) -> str | None:
    """Write the warning of folds that leak; `None` for folds by patient."""
    leaking, held = sum(fold.leaking for fold in folds), sum(len(fold.held.table) for fold in folds)
    if protocol.group == "patient":
        return None
    found = f"{leaking:,} of {held:,} images were scored by a network that was trained with another image of the same "
    known = found + "patient or a copy of the image itself" if leaking else "no patient or copy is known here"
    return (
        f"The folds were made by image, not by patient, and this leaks: {known}. The figures are too high; "
        "they serve to compare with work that was scored this way, and say nothing about new patients."
    )


def _concatenate(parts: Sequence[pd.DataFrame], order: Mapping[str, int]) -> pd.DataFrame:
    filled = [part for part in parts if len(part)] or [parts[0]]
    table = pd.concat(filled, ignore_index=True)
    return table.sort_values("image", key=lambda images: images.map(order), ignore_index=True)


def _of_fold(predictions: Predictions, record: Mapping[str, Any]) -> dict[str, Any]:
    """Add the fold's own figures to its record; means over classes only where it holds every class."""
    kept = {key: value for key, value in record.items() if key not in ONCE}
    part = predictions.take(predictions.table["fold"] == record["name"])
    if part.table.empty:
        return {**kept, "figures": {}}
    found = compute(part.labels, part.probabilities, part.classes)
    partial = len(set(part.labels)) < len(part.classes)
    return {**kept, "figures": {name: value for name, value in found.items() if not (partial and name in MACRO)}}


def _title(protocol: Protocol, settings: Training, folds: Sequence[Fold], predictions: Predictions) -> str:
    how = f"each of {len(folds)} sources held out" if protocol.leave_out else f"{len(folds)} folds"
    by = "patient and copy" if protocol.group == "patient" else "image"
    return f"{settings.model}, {how}, by {by}, {len(predictions.table):,} images"


def _remarks(folds: Sequence[Fold], manifest: Manifest, seen: Seen | None) -> list[str]:
    found = [f"Nothing could be trained without {fold.name}: {fold.problem}" for fold in folds if fold.problem]
    for fold in folds:
        missing = sorted(set(manifest.classes) - set(fold.held.table["label"]))
        if missing and not fold.problem:
            found.append(f"{fold.name} holds no image of {', '.join(missing)}: its figures are of the other classes.")
        unseen = sorted(set(fold.held.table["label"]) - set(fold.classes))
        if unseen and not fold.problem:
            found.append(f"Without {fold.name} no {', '.join(unseen)} is left to train on: such images get no score.")
    held = sum(len(fold.held.table) for fold in folds)
    if held < len(manifest.table):
        found.append(f"{len(manifest.table) - held:,} images name no source; they were trained on and never scored.")
    if "split" in manifest.table and (manifest.table["split"] != "").any():
        found.append("The parts that the data set brings (split) were not used: every image is in a fold.")
    found += [left_out_sentence(seen.facts)] if seen and left_out_sentence(seen.facts) else []
    return found
