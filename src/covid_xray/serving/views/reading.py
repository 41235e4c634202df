"""Say what a study means to its reader: one headline, one sentence why, what to do next, and what the network knows."""

from collections.abc import Iterable
from dataclasses import dataclass

from covid_xray.inference.finding import CANNOT_SAY, NOT_CHECKED
from covid_xray.inference.site.close_call import CLOSE_CALL
from covid_xray.serving.views.languages import gettext
from covid_xray.serving.views.phrases import display_name, listed, site_words, words
from covid_xray.store.records import Study

_SITE_REASONS = (NOT_CHECKED, "not fit at ", "the check at ")


@dataclass(frozen=True)
class Reading:
    """The words at the top of page, print and PDF.

    Args:
        headline: the class, or "Cannot say".
        decision: why, in one sentence.
        cannot_say: whether class, percentages and heat map are held back until asked for.
        reasons: why it cannot be said.
        steps: what to do next; empty for a class.
        scope: what the network knows, and that other diseases get one of its answers.
        site: whether it was checked at this hospital.
    """

    headline: str
    decision: str
    cannot_say: bool
    reasons: tuple[str, ...]
    steps: tuple[str, ...]
    scope: str
    site: str


def reading(study: Study) -> Reading:
    """Describe a stored study."""
    stored = study.finding["reasons"]
    cannot_say = study.label == CANNOT_SAY
    return Reading(
        headline=headline(study.label, stored),
        decision=gettext("No answer, because:") if cannot_say else _sentence(_supports(study)),
        cannot_say=cannot_say,
        reasons=tuple(_sentence([words(reason)]) for reason in stored),
        steps=tuple(_steps(study)) if cannot_say else (),
        scope=scope(study.probabilities),
        site=_sentence([site_words(study.finding.get("site"))]),
    )


def headline(label: str, reasons: Iterable[str]) -> str:
    """Return the name of the answer; a close call is named so."""
    if label == CANNOT_SAY and any(reason.startswith(CLOSE_CALL) for reason in reasons):
        return gettext("Cannot say: close call")
    return display_name(label)


def scope(classes: Iterable[str]) -> str:
    """Say what a network with these classes knows."""
    names = list(classes)
    return gettext(
        "This network knows %(count)s answers: %(names)s. Other diseases get one of them.",
        count=len(names),
        names=listed(names),
    )


def _supports(study: Study) -> list[str]:
    """List what agrees with the label; it was withheld otherwise."""
    found = []
    for name, reached in (study.finding["operating_points"] or {}).items():
        if name == study.label and "rule-in" in reached:
            found.append(gettext("%(name)s is ruled in", name=display_name(name)))
        elif name != study.label and "rule-out" in reached:
            found.append(gettext("%(name)s is ruled out", name=display_name(name)))
    if study.finding["prediction_set"] is not None:
        found.append(gettext("no other answer is in the prediction set"))
    if study.finding["gate"] is not None:
        found.append(gettext("the picture passed the input check"))
    return found or [gettext("the most probable answer; no threshold or input check supports it")]


def _steps(study: Study) -> Iterable[str]:
    reasons = study.finding["reasons"]
    yield gettext("Read this radiograph as if the network had said nothing.")
    if any(not verdict["ok"] for verdict in (study.finding["gate"] or {}).values()):
        yield gettext("Check that it is an upright, frontal radiograph of the whole chest, and send the original file.")
    elif any(reason.startswith(_SITE_REASONS) for reason in reasons):
        yield gettext("Do not use the network here until an administrator has checked it at this hospital.")
    elif "covid" in study.probabilities:
        yield gettext("Where COVID-19 is the question, a laboratory test answers it.")


def _sentence(parts: Iterable[str]) -> str:
    text, stop = gettext("; ").join(parts), gettext(".")
    return f"{text[:1].upper()}{text[1:]}{'' if text.endswith(('.', stop, '؟', '?')) else stop}"
