"""Write `clinical.md`, its summary sentences, and `outcomes.md`."""

from collections.abc import Mapping
from typing import Any

from covid_xray import clinical
from covid_xray.evaluation.audit.audit_page import DISCLAIMER
from covid_xray.evaluation.report.markdown import render_markdown
from covid_xray.evaluation.report.sections import format_interval

SHOWN = {"balanced_accuracy": "balanced accuracy", "macro_f1": "macro-F1", "auroc_macro": "AUROC", "nll": "NLL"}
HEADLINE = "macro_f1"
TITLES = {"image": "image alone", "joint": "image and values"}
SEES = {"image": "the image alone", "clinical": "clinical values", "both": "image and clinical values",
        "missingness": "which values are stated"}  # fmt: skip
Facts = Mapping[str, Any]


def summary_sentences(facts: Facts) -> list[str]:
    """Summarise the study in a few sentences, the warning about missingness first."""
    found, variants = facts["worth"]["all"], facts["worth"]["all"]["variants"]
    sentences = [missingness_warning(facts)] if missingness_warning(facts) else []
    joint, usual = variants["joint"]["minus_image"][HEADLINE], variants["joint-usual"]["minus_image"][HEADLINE]
    only = variants["joint-missingness"]["minus_image"][HEADLINE]
    people = f"{found['images']:,} images of {found['patients']:,} patients"
    sentences.append(
        f"Clinical values add {format_difference(joint)} to the image's macro-F1 of "
        f"{format_interval(variants['image']['figures'][HEADLINE])} ({people}): {describe_difference(joint)}."
    )
    sentences.append(
        f"The usual design, with missing-indicators as features, would add {format_difference(usual)}, the indicators "
        f"alone {format_difference(only)}: this reflects how the data were collected, and is not part of the bundle."
    )
    inside = facts["worth"]["stated"]
    alone = inside["variants"]["missingness"]
    if (alone["minus_image"]["balanced_accuracy"]["ci_low"] or 0) > 0:
        sentences.append(
            f"Among the {inside['images']:,} images that state a usable field, missingness alone predicts the class "
            "better than the image does: balanced accuracy "
            f"{format_interval(alone['figures']['balanced_accuracy'])} beside "
            f"{format_interval(inside['variants']['image']['figures']['balanced_accuracy'])}."
        )
    swapped = variants["joint-permuted"]["minus_image"][HEADLINE]
    sentences.append(
        f"With the values of other patients the joint model differs from the image by {format_difference(swapped)}."
    )
    return sentences


def missingness_warning(facts: Facts) -> str:
    """Return the banner for collections where missingness alone predicts the class, else ""."""
    found = facts["worth"]["missingness"]
    if not found["tells"]:
        return ""
    return (
        f"Missingness alone predicts the class with a balanced accuracy of "
        f"{format_interval(found['balanced_accuracy'])}; chance is {found['chance']:.3f}. This reflects how the data "
        "were collected, not the disease: no gain from clinical data on these images can be credited to the patients."
    )


def format_difference(figure: Facts, *, key: str = "difference") -> str:
    """Format a difference as `+0.008 (-0.004 to +0.021)`."""
    if figure["ci_low"] is None:
        return f"{figure[key]:+.3f} (too few)"
    return f"{figure[key]:+.3f} ({figure['ci_low']:+.3f} to {figure['ci_high']:+.3f})"


def describe_difference(figure: Facts) -> str:
    """Say whether a difference is beyond chance."""
    if figure["ci_low"] is None:
        return "too few patients to tell"
    if figure["ci_low"] > 0:
        return "a gain beyond chance"
    return "a loss beyond chance" if figure["ci_high"] < 0 else "no difference beyond chance"


def clinical_page(facts: Facts) -> str:
    """Return `clinical.md`."""
    silent = [field.title for field in clinical.FIELDS if field.name not in facts["worth"]["fields"]]
    return render_markdown(
        "clinical.md", f=facts, warning=missingness_warning(facts), silent=silent, shown=SHOWN, headline=HEADLINE,
        bias=facts["worth"]["bias"], titles=TITLES, difference=format_difference, disclaimer=DISCLAIMER,
    )  # fmt: skip


def bias_page(facts: Facts | None) -> str:
    """Return the sections on sex and age; nothing where they were not measured."""
    return render_markdown("bias.md", bias=facts, titles=TITLES, difference=format_difference)


def outcomes_page(facts: Facts) -> str:
    """Return `outcomes.md` from `model`, `images`, `outcomes` and `severity`."""
    return render_markdown("outcomes.md", f=facts, sees=SEES, difference=format_difference, disclaimer=DISCLAIMER)
