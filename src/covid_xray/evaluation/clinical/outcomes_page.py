"""Write `outcomes.md`."""

from collections.abc import Iterator, Mapping
from typing import Any

from covid_xray.evaluation.audit.audit_page import DISCLAIMER, format_interval
from covid_xray.evaluation.clinical.bias_page import format_signed

SEES = {"image": "the image alone", "clinical": "clinical values", "both": "image and clinical values",
        "missingness": "which values are stated"}  # fmt: skip
Facts = Mapping[str, Any]


def outcomes_page(facts: Facts) -> str:
    """Return the page from `model`, `images`, `outcomes` and `severity`."""
    return "\n".join([*_head(facts), *(line for found in facts["outcomes"].values() for line in _one(found))]) + "\n"


def _head(facts: Facts) -> Iterator[str]:
    yield f"# Outcomes of covid patients predicted from the embedding of {facts['model']['name']}\n"
    yield (
        "Exploratory. One image of each patient, the earliest; only sources that record patients with and without the "
        "outcome; logistic regression, everything fitted inside five folds over patients. Intervals: 95 %, bootstrap "
        "over patients. Slope: below 1 overconfident, above 1 underconfident. No outcome predicts another, and "
        f"supplemental oxygen is no predictor. {facts['images']:,} images of covid. {DISCLAIMER}\n"
    )
    yield f"{facts['severity']}\n"


def _one(found: Facts) -> Iterator[str]:
    sources = "; ".join(f"{name} {n['with']} with, {n['without']} without" for name, n in found["sources"].items())
    yield f"## {found['title'][0].upper()}{found['title'][1:]}\n"
    yield f"Patients by source: {sources}."
    if "models" not in found:
        yield f"\nToo few to measure: {found['events']} of {found['patients']} patients in sources with both.\n"
        return
    yield f"\nUsed: {found['patients']} patients, {found['events']} with the outcome.\n"
    yield "| sees | AUROC | Brier | slope | mean probability |"
    yield "|---|---|---|---|---|"
    for name, figures in found["models"].items():
        cells = [format_interval(figures[key]) for key in ("auroc", "brier", "slope", "mean_predicted")]
        yield f"| {SEES[name]} | " + " | ".join(cells) + " |"
    share = found["events"] / found["patients"]
    yield f"| nothing: {share:.3f} for everybody | 0.500 | {found['base_brier']:.3f} | | {share:.3f} |"
    yield f"\nBoth minus {SEES[found['gain']['over']]}: AUROC {format_signed(found['gain'])}.\n"
    if _tells(found["models"]["missingness"]["auroc"]):
        yield "**Missingness alone predicts this outcome, which reflects how the data were collected.**\n"


def _tells(figure: Facts) -> bool:
    return figure["ci_low"] is not None and (figure["ci_low"] > 0.5 or figure["ci_high"] < 0.5)
