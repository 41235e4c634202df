"""Write `audit.md` from audit.json: the verdict first, then its evidence."""

from collections.abc import Mapping
from typing import Any

from covid_xray.evaluation.audit.shortcut_verdict import NAMES, format_share
from covid_xray.evaluation.audit.shortcuts import HEADLINE, SCORES
from covid_xray.evaluation.report.markdown import render_markdown
from covid_xray.evaluation.trained_images import kept_sentence

DISCLAIMER = "Research use, not for diagnosis."
NO_LOCALISATION = "A heat map is not a localisation: it shows what moved the score, not where disease is."


def audit_page(facts: Mapping[str, Any]) -> str:
    """Return `audit.md`; its figures lie in `figures/`."""
    return render_markdown(
        "audit.md", f=facts, scores={score: NAMES[score] for score in SCORES}, headline=HEADLINE,
        format_share=format_share, disclaimer=DISCLAIMER, no_localisation=NO_LOCALISATION,
        known=kept_sentence(facts["trained_images"]) if facts.get("trained_images") else "",
    )  # fmt: skip
