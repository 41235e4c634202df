"""A bundle and a manifest in, the audit out: how much of the score is real, and whether the heat maps mean anything.

`audit.json` holds everything, `audit.md` says it in words, `figures/audit_*.png` show it.
"""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from covid_xray import __version__
from covid_xray.bundle.predictor import Predictor
from covid_xray.data.groups import groups as joined_groups
from covid_xray.data.manifest import Manifest
from covid_xray.errors import BadManifest
from covid_xray.evaluation.audit_figures import audit_charts, examples
from covid_xray.evaluation.audit_page import page
from covid_xray.evaluation.evaluate import write_bytes
from covid_xray.evaluation.figures import LIGHT, render
from covid_xray.evaluation.held_out import sources_left_out
from covid_xray.evaluation.interventions import whole_input
from covid_xray.evaluation.lung_masks import LungFinder, MaskFiles, choose_masks, mask_files
from covid_xray.evaluation.no_lung import compared
from covid_xray.evaluation.scenes import Scenes, facts, read_scenes, sample
from covid_xray.evaluation.shortcuts import HEADLINE, Groups, Settings, ask, chance_levels, codes_of, scored
from covid_xray.evaluation.source_probe import source_from_embedding
from covid_xray.evaluation.verdict import verdict
from covid_xray.files import write_json, write_text

FORMAT = 1
FILE = "audit.json"
MANY_LEFT_OUT = 0.05
Stages = Callable[[str, int, int, str], None]


@dataclass(frozen=True)
class Plan:
    """What an audit is asked for.

    Args:
        part: name of the part of the data, for the page.
        masks: folder of mask files.
        lungs: kind of masks, of `lung_masks.KINDS`.
        images: at most so many are looked at; more are sampled.
        rounds, seed: of the bootstrap and of the sampling.
        baselines: content of baselines.json.
        crossval: content of crossval.json.
    """

    part: str = "all"
    masks: Path | None = None
    lungs: str = "auto"
    images: int = 800
    rounds: int = 1000
    seed: int = 0
    baselines: Mapping[str, Any] | None = None
    crossval: Mapping[str, Any] | None = None


@dataclass(frozen=True, eq=False)
class Audited:
    """The content of audit.json, and the scenes that it was measured on."""

    facts: dict[str, Any]
    scenes: Scenes


def audit(
    predictor: Predictor,
    manifest: Manifest,
    plan: Plan,
    *,
    finder: LungFinder | None = None,
    progress: Stages | None = None,
) -> Audited:
    """Measure what `docs/reference/audit.md` lists, except the heat maps.

    Args:
        predictor: of the bundle.
        manifest: labelled images that the network was not trained on.
        plan: what is asked for.
        finder: lung network of the bundle.
        progress: called with (stage, done, all, note).

    Raises:
        BadManifest: labels that the network does not know, or of one class only.
        InputRefused: no image whose lungs are known.
        UsageError: as `choose_masks`.
    """
    _check_labels(manifest, predictor.classes)
    beside = {
        "baselines": compared(plan.baselines, predictor.classes),
        "sources_left_out": sources_left_out(plan.crossval, predictor.classes),
    }
    chosen = sample(manifest, count=plan.images, seed=plan.seed)
    images = chosen.table["image"].tolist()
    masks = choose_masks(images, folder=plan.masks, finder=finder, wish=plan.lungs)
    files = MaskFiles(mask_files(images, plan.masks)) if plan.masks else None
    scenes = read_scenes(predictor, chosen, masks, files=files, progress=_stage(progress, "read"))
    left = chosen.take(scenes.table["image"].tolist())
    _check_labels(left, predictor.classes)
    answers = ask(predictor, scenes, progress=_stage(progress, "hide"))
    patients, settings = patients_of(manifest, scenes), Settings(rounds=plan.rounds, seed=plan.seed)
    rows, survives = scored(answers, scenes, predictor.classes, groups=patients, settings=settings)
    found = {
        **_about(predictor, scenes, plan, patients),
        "sampled_from": len(manifest.table),
        "left_out": _left_out(chosen, scenes),
        "masks": facts(scenes, masks),
        "verdict": verdict(survives, headline=HEADLINE, masks=masks.kind),
        "conditions": rows,
        "source_from_embedding": source_from_embedding(answers.embedding, left, seed=plan.seed),
        **beside,
        "heatmaps": None,
        "settings": {"rounds": plan.rounds, "seed": plan.seed, "level": settings.level, "images": plan.images},
    }
    return Audited({**found, "notes": _notes(found, chosen)}, scenes)


def write_audit(audited: Audited, out: Path) -> None:
    """Write figures/audit_*.png, audit.md and, last, audit.json to the folder `out`.

    `figures/audit_examples.png` shows one radiograph of each class; nothing else shows any.
    """
    facts = audited.facts
    for chart in audit_charts(facts):
        write_bytes(out / "figures" / f"{chart.name}.png", render(chart, LIGHT))
    labels = audited.scenes.table["label"].tolist()
    first = [labels.index(name) for name in facts["classes"] if name in labels]
    everything = whole_input(audited.scenes.pixels, audited.scenes.lungs)
    shown = examples(everything.take(np.array(first, dtype=np.int64)), LIGHT)
    write_bytes(out / "figures" / "audit_examples.png", shown)
    write_text(out / "audit.md", page(facts))
    write_json(out / FILE, facts)


def patients_of(manifest: Manifest, scenes: Scenes) -> Groups:
    """Group of each scene, or `None` where the manifest names no patient; as `subgroups.patients`."""
    if "patient_id" not in manifest.table or (manifest.table["patient_id"] == "").all():
        return None
    return np.asarray(joined_groups(manifest).loc[scenes.table["image"]].tolist(), dtype=np.str_)


def _about(predictor: Predictor, scenes: Scenes, plan: Plan, patients: Groups) -> dict[str, Any]:
    model = predictor.identity
    return {
        "format": FORMAT,
        "covid_xray": __version__,
        "model": {"name": model.name, "version": model.version, "sha256": model.sha256},
        "part": plan.part,
        "classes": list(predictor.classes),
        "images": len(scenes.table),
        "patients": None if patients is None else len(set(patients)),
        "labels": {name: int((scenes.table["label"] == name).sum()) for name in predictor.classes},
        "chance": chance_levels(codes_of(scenes, predictor.classes)),
    }


def _check_labels(manifest: Manifest, classes: Sequence[str]) -> None:
    labels = set(manifest.table["label"])
    if not labels <= set(classes):
        raise BadManifest(
            f"expected labels that the network knows ({', '.join(classes)}). "
            f"Received: {', '.join(sorted(labels - set(classes)))}"
        )
    if len(labels) < 2:
        raise BadManifest(f"expected images of two or more classes. Received: {', '.join(labels) or 'none'}")


def _left_out(chosen: Manifest, scenes: Scenes) -> dict[str, Any]:
    """How many images of each class are not in any figure, and why."""
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
    notes = []
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
    if found["patients"] is None:
        notes.append("No image names its patient: intervals are over images, and too narrow if patients have several.")
    return notes


def _stage(progress: Stages | None, name: str) -> Callable[[int, int], None] | None:
    if progress is None:
        return None
    return lambda done, total: progress(name, done, total, "")
