"""Audit a bundle: measure how much of its score survives without the lungs and whether its heat maps mean anything.

Writes `audit.json` (everything), `audit.md` (in words) and `figures/audit_*.png`.
"""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from covid_xray import __version__
from covid_xray.bundle.bundle import Bundle, load_bundle
from covid_xray.data.manifest.manifest import Manifest
from covid_xray.data.split.groups import groups as joined_groups
from covid_xray.errors import BadManifest, InputRefused
from covid_xray.evaluation.audit.audit_figures import audit_charts, examples
from covid_xray.evaluation.audit.audit_page import audit_page
from covid_xray.evaluation.audit.interventions import prepare_input
from covid_xray.evaluation.audit.lung_masks import MaskFiles, choose_masks, mask_files
from covid_xray.evaluation.audit.masked_images import MaskedImages, describe_masks, read_masked_images, sample_images
from covid_xray.evaluation.audit.saliency import MapStudy, heatmap_study
from covid_xray.evaluation.audit.shortcut_verdict import judge_survival
from covid_xray.evaluation.audit.shortcuts import (
    HEADLINE,
    Groups,
    Settings,
    chance_levels,
    class_codes,
    run_interventions,
    score_interventions,
)
from covid_xray.evaluation.audit.source_generalisation import sources_left_out
from covid_xray.evaluation.audit.source_probe import source_from_embedding
from covid_xray.evaluation.baseline_comparison import check_baselines
from covid_xray.evaluation.evaluate import write_bytes
from covid_xray.evaluation.report.figures import LIGHT, render
from covid_xray.evaluation.run_schema import AUDIT_FORMAT, Audit
from covid_xray.evaluation.schema_base import require_schema
from covid_xray.evaluation.trained_images import left_out_sentence
from covid_xray.files import write_json, write_text
from covid_xray.inference.predictor import Predictor

FILE = "audit.json"
MANY_LEFT_OUT = 0.05
Stages = Callable[[str, int, int, str], None]


@dataclass(frozen=True)
class Plan:
    """Settings of an audit."""

    part: str = "all"  # name of the part of the data, for the page
    masks: Path | None = None  # folder of mask files
    lungs: str = "auto"  # kind of masks, of `lung_masks.KINDS`
    images: int = 800  # number of images at most; of more a sample is drawn
    rounds: int = 1000  # of the bootstrap and of the sampling
    seed: int = 0
    baselines: Mapping[str, Any] | None = None  # content of baselines.json
    crossval: Mapping[str, Any] | None = None  # content of crossval.json
    heatmaps: int = 24  # how many images the heat maps are tested on; 0 for none
    trained: Mapping[str, Any] | None = None  # facts of `trained_images.leave_out_trained`
    others: tuple[Bundle, ...] = ()  # bundles whose heat maps are held against these, such as other seeds


@dataclass(frozen=True, eq=False)
class Audited:
    """The content of audit.json and the images that it was measured on."""

    facts: dict[str, Any]
    scenes: MaskedImages


def audit(
    predictor: Predictor,
    manifest: Manifest,
    plan: Plan,
    *,
    progress: Stages | None = None,
) -> Audited:
    """Measure what `docs/reference/audit.md` lists.

    Args:
        predictor: of the bundle.
        manifest: labelled images that the network was not trained on.
        plan: the settings.
        progress: called with (stage, done, all, note).

    Raises:
        BadManifest: labels that the network does not know, or of one class only.
        InputRefused: no image with known lungs, or other bundles that do not fit this one.
        UsageError: as `choose_masks`.
    """
    _check_labels(manifest, predictor.classes)
    beside = {
        "baselines": check_baselines(plan.baselines, predictor.classes),
        "sources_left_out": sources_left_out(plan.crossval, predictor.classes),
    }
    chosen = sample_images(manifest, count=plan.images, seed=plan.seed)
    images = chosen.table["image"].tolist()
    masks = choose_masks(images, folder=plan.masks, network=predictor.bundle.lungs is not None, wish=plan.lungs)
    files = MaskFiles(mask_files(images, plan.masks)) if plan.masks else None
    scenes = read_masked_images(predictor, chosen, masks, files=files, progress=_stage(progress, "read"))
    left = chosen.take(scenes.table["image"].tolist())
    _check_labels(left, predictor.classes)
    answers = run_interventions(predictor, scenes, progress=_stage(progress, "hide"))
    patients, settings = patients_of(manifest, scenes), Settings(rounds=plan.rounds, seed=plan.seed)
    rows, survives = score_interventions(answers, scenes, predictor.classes, groups=patients, settings=settings)
    found = {
        **_about(predictor, scenes, plan, patients),
        "sampled_from": len(manifest.table),
        "left_out": _left_out(chosen, scenes),
        "masks": describe_masks(scenes, masks),
        "verdict": judge_survival(survives, headline=HEADLINE, masks=masks.kind),
        "conditions": rows,
        "source_from_embedding": source_from_embedding(answers.embedding, left, seed=plan.seed),
        **beside,
        "heatmaps": _heatmaps(predictor, scenes, plan, patients, _stage(progress, "heat maps")),
        "settings": _settings(plan, settings),
        "trained_images": dict(plan.trained) if plan.trained else None,
    }
    return Audited({**found, "notes": _notes(found, chosen)}, scenes)


def write_audit(audited: Audited, out: Path) -> None:
    """Write figures/audit_*.png, audit.md and, last, audit.json to the folder `out`.

    Only `figures/audit_examples.png` shows radiographs: one of each class.
    """
    facts = audited.facts
    for chart in audit_charts(facts):
        write_bytes(out / "figures" / f"{chart.name}.png", render(chart, LIGHT))
    labels = audited.scenes.table["label"].tolist()
    first = [labels.index(name) for name in facts["classes"] if name in labels]
    everything = prepare_input(audited.scenes.pixels, audited.scenes.lungs)
    shown = examples(everything.take(np.array(first, dtype=np.int64)), LIGHT)
    write_bytes(out / "figures" / "audit_examples.png", shown)
    write_text(out / "audit.md", audit_page(facts))
    write_json(out / FILE, require_schema(facts, Audit))


def patients_of(manifest: Manifest, scenes: MaskedImages) -> Groups:
    """Return the patient of each image, or `None` where the manifest names none; as `subgroups.patients`."""
    if "patient_id" not in manifest.table or (manifest.table["patient_id"] == "").all():
        return None
    return np.asarray(joined_groups(manifest).loc[scenes.table["image"]].tolist(), dtype=np.str_)


def _heatmaps(
    predictor: Predictor,
    scenes: MaskedImages,
    plan: Plan,
    patients: Groups,
    progress: Callable[[int, int], None] | None,
) -> dict[str, Any] | None:
    """Test the heat maps on a few images of each class; `None` where none was requested or the head is unknown."""
    if plan.heatmaps == 0:
        return None
    rows = _few(scenes, predictor.classes, count=plan.heatmaps, seed=plan.seed)
    mean = prepare_input(scenes.pixels, scenes.lungs).mean
    groups = None if patients is None else patients[rows]
    looked = MapStudy(scenes.take(rows), mean, groups, rounds=plan.rounds, seed=plan.seed)
    model = load_bundle(predictor.bundle.folder).model
    try:
        return heatmap_study(predictor, model, looked, others=plan.others, progress=progress)
    except InputRefused as error:
        if error.code != "unknown-head":
            raise
        return None


def _few(scenes: MaskedImages, classes: Sequence[str], *, count: int, seed: int) -> NDArray[np.int64]:
    """Return the positions of `count` random images, balanced over the classes."""
    random = np.random.default_rng(seed)
    codes = class_codes(scenes, tuple(classes))
    drawn = random.permutation(len(codes))
    # Rank of each image within its class: all firsts come before all seconds.
    within = np.zeros(len(codes), dtype=np.int64)
    for code in np.unique(codes):
        own = drawn[codes[drawn] == code]
        within[own] = np.arange(len(own))
    return np.sort(np.lexsort((drawn, within))[:count])


def _settings(plan: Plan, bootstrap: Settings) -> dict[str, Any]:
    asked = {"images": plan.images, "heatmaps": plan.heatmaps}
    return {"rounds": bootstrap.rounds, "seed": bootstrap.seed, "level": bootstrap.level, **asked}


def _about(predictor: Predictor, scenes: MaskedImages, plan: Plan, patients: Groups) -> dict[str, Any]:
    model = predictor.identity
    return {
        "format": AUDIT_FORMAT,
        "covid_xray": __version__,
        "model": {"name": model.name, "version": model.version, "sha256": model.sha256},
        "part": plan.part,
        "classes": list(predictor.classes),
        "images": len(scenes.table),
        "patients": None if patients is None else len(set(patients)),
        "labels": {name: int((scenes.table["label"] == name).sum()) for name in predictor.classes},
        "chance": chance_levels(class_codes(scenes, predictor.classes)),
    }


def _check_labels(manifest: Manifest, classes: Sequence[str]) -> None:
    labels = set(manifest.table["label"])
    unknown = ", ".join(sorted(labels - set(classes)))
    if unknown:
        raise BadManifest(f"Unknown labels: {unknown}. The network knows {', '.join(classes)}.")
    if len(labels) < 2:
        raise BadManifest(f"Images of {', '.join(labels) or 'no class'} only. Give images of two or more classes.")


def _left_out(chosen: Manifest, scenes: MaskedImages) -> dict[str, Any]:
    """Count the images of each class that are in no figure, and the reasons."""
    labels = chosen.table.set_index("image")["label"]
    by_class = labels.loc[list(scenes.left_out)].value_counts()
    reasons: dict[str, int] = {}
    for reason in scenes.left_out.values():
        reasons[reason] = reasons.get(reason, 0) + 1
    return {
        "images": len(scenes.left_out),
        "labels": {str(name): int(count) for name, count in by_class.items()},
        "reasons": reasons,
    }


def _notes(found: Mapping[str, Any], chosen: Manifest) -> list[str]:
    trained = found["trained_images"]
    notes = [left_out_sentence(trained)] if trained and left_out_sentence(trained) else []
    count, of = len(chosen.table), found["sampled_from"]
    if count < of:
        notes.append(
            f"{count:,} of {of:,} images, drawn at random with seed {found['settings']['seed']}; each label of each "
            "source keeps its share."
        )
    missing = found["left_out"]["images"]
    if missing:
        notes.append(
            f"{missing:,} images are in no figure, the whole picture's included, because their lungs are not known "
            "or they cannot be read."
        )
    if missing > MANY_LEFT_OUT * count:
        shares = ", ".join(f"{name} {lost}" for name, lost in found["left_out"]["labels"].items())
        notes.append(f"Those are many, and the figures are of the others: by class {shares}.")
    if found["heatmaps"] is None and found["settings"]["heatmaps"]:
        notes.append("The heat maps were not tested: the head of this network is not one of those that are known here.")
    if found["patients"] is None:
        notes.append("No image names its patient: intervals are over images, and too narrow if patients have several.")
    return notes


def _stage(progress: Stages | None, name: str) -> Callable[[int, int], None] | None:
    if progress is None:
        return None
    return lambda done, total: progress(name, done, total, "")
