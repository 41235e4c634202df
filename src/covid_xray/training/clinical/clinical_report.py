"""Measure the worth of a bundle's clinical input, and write `clinical.json` and `clinical.md`."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

from covid_xray.bundle.bundle import load_bundle, record
from covid_xray.evaluation.clinical.clinical_page import clinical_page, missingness_warning, summary_sentences
from covid_xray.evaluation.clinical.clinical_predictions import ClinicalPredictions
from covid_xray.files import write_json, write_text
from covid_xray.training.clinical.clinical_study import study

VERSION = 1
Stage = Callable[[str, int, int, str], None]
# The variants whose figures the bundle itself holds.
KEPT = ("image", "clinical", "joint", "joint-permuted", "missingness", "joint-usual", "joint-missingness")


def write_study(
    out: Path, folder: Path, data: ClinicalPredictions, *, rounds: int = 1000, seed: int = 0, step: Stage | None = None
) -> dict[str, Any]:
    """Measure what clinical values are worth, write the study to `out` and its main figures to the bundle.

    Args:
        out: folder of clinical.json and clinical.md.
        folder: of the bundle.
        data: predictions for images that its network was not trained on.
        rounds, seed: of bootstrap, folds and permutations.
        step: called with (stage, done, total, next step).

    Returns:
        The content of clinical.json; `lines` are its summary in a few sentences.
    """
    bundle = load_bundle(folder)

    def report(done: int, total: int, note: str) -> None:
        if step:
            step("study", done, total, note)

    facts: dict[str, Any] = {
        "version": VERSION,
        "model": {"name": bundle.name, "version": bundle.version, "sha256": bundle.contents.model.sha256},
        "classes": list(bundle.classes),
        "fusion": {key: bundle.facts["fusion"][key] for key in ("fields", "trained_on", "recipe", "parity")},
        "worth": study(data, bundle.classes, rounds=rounds, seed=seed, step=report),
        "settings": {"rounds": rounds, "seed": seed},
    }
    facts["lines"] = summary_sentences(facts)
    write_json(out / "clinical.json", facts)
    write_text(out / "clinical.md", clinical_page(facts))
    record(folder, fusion={**bundle.facts["fusion"], "worth": _short(facts)})
    return facts


def _short(facts: dict[str, Any]) -> dict[str, Any]:
    """Select the main figures and the sentences for `bundle.json`."""
    everything = facts["worth"]["all"]
    figures = {
        name: {"sees": everything["variants"][name]["sees"], **everything["variants"][name]["figures"]["macro_f1"]}
        for name in KEPT
    }
    lines = [line for line in facts["lines"] if line != missingness_warning(facts)]
    return {
        "images": everything["images"], "patients": everything["patients"], "macro_f1": figures,
        "warning": missingness_warning(facts), "lines": lines,
    }  # fmt: skip
