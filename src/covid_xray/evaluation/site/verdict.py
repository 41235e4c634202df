"""Hold the answers of a hospital against the rule: fit, fit with its own threshold, or not fit."""

from collections.abc import Sequence
from dataclasses import dataclass

from covid_xray.evaluation.site.answers import Answers, Rates
from covid_xray.evaluation.site.reference import Reference
from covid_xray.evaluation.site.rule import Rule, images_needed
from covid_xray.inference.site.correction import Correction
from covid_xray.inference.site.site_file import FIT, FIT_HERE, NOT_FIT


@dataclass(frozen=True)
class Criterion:
    """One line of the rule: what was found, what is asked for, and whether it holds."""

    name: str
    found: str
    limit: str
    holds: bool


@dataclass(frozen=True, eq=False)
class Candidate:
    """One way of answering at this hospital, with what it comes to."""

    name: str  # "shipped" or "site"
    correction: Correction
    rates: Rates
    criteria: tuple[Criterion, ...]

    @property
    def fit(self) -> bool:
        """Return whether all of the rule holds."""
        return all(one.holds for one in self.criteria)


def candidate(
    name: str, correction: Correction, answers: Answers, reference: Reference | None, rule: Rule
) -> Candidate:
    """Judge the answers with one correction."""
    rates = answers.rates(correction)
    moved = correction.threshold - correction.constant
    criteria = (
        _false_positives(rates, rule, by_rank=name == "site"),
        _cannot_say(rates, rule),
        *_sensitivity(rates, reference, moved, rule),
    )
    return Candidate(name, correction, rates, criteria)


def choose(candidates: Sequence[Candidate]) -> tuple[str, Candidate]:
    """Return the verdict and the candidate in use: the first that is fit, else the bundle as it ships."""
    for one in candidates:
        if one.fit:
            return FIT_HERE if one.correction.changes else FIT, one
    return NOT_FIT, candidates[0]


def _false_positives(rates: Rates, rule: Rule, *, by_rank: bool) -> Criterion:
    share = rates.false_positives
    limit = f"at most {rule.false_positives:.0%}"
    name = "Healthy called ill"
    if not share.total:
        return Criterion(name, "not checked: there are no healthy images", limit, False)
    bound = share.upper(rule.confidence)
    found = f"{share.count} of {share.total} ({share.value:.1%})"
    if by_rank:
        said = f"{found}; at most {rule.false_positives:.0%} with {rule.confidence:.0%} confidence by the threshold"
        return Criterion(name, said, limit, True)
    needed = images_needed(false_positives=rule.false_positives, confidence=rule.confidence)
    few = f"; {needed} healthy images are needed to show it" if share.total < needed else ""
    return Criterion(name, f"{found}; upper bound {bound:.1%}{few}", limit, bound <= rule.false_positives)


def _cannot_say(rates: Rates, rule: Rule) -> Criterion:
    share = rates.cannot_say
    bound = share.upper(rule.confidence)
    found = f"{share.count} of {share.total} ({share.value or 0:.1%}); upper bound {bound:.1%}"
    return Criterion("Answered cannot say", found, f"at most {rule.cannot_say:.0%}", bound <= rule.cannot_say)


def _sensitivity(rates: Rates, reference: Reference | None, threshold: float, rule: Rule) -> list[Criterion]:
    """What the threshold costs elsewhere, and that the ill are found: here, or elsewhere where there are none here."""
    known = reference.sensitivity(threshold) if reference else None
    before = reference.sensitivity(0.0) if reference else None
    where = "hospitals left out of training" if reference and reference.left_out else "the bundle's own hospitals"
    found, here = [], rates.sensitivity
    if threshold > 0:
        name, limit = f"Sensitivity lost, {where}", f"at most {100 * rule.sensitivity_loss:.0f} points"
        lost = None if known is None or before is None else before - known
        said = "not known: the bundle has no scores of ill patients" if lost is None else f"{100 * lost:.1f} points"
        found.append(Criterion(name, said, limit, lost is not None and lost <= rule.sensitivity_loss + 1e-9))
    limit = f"at least {rule.sensitivity:.0%}"
    if here.total:
        bound = here.lower(rule.confidence)
        said = f"{here.count} of {here.total} ({here.value:.1%}); lower bound {bound:.1%}"
        return [*found, Criterion("Ill called ill, at this hospital", said, limit, bound >= rule.sensitivity)]
    said = "not known" if known is None else f"{known:.1%}"
    name = f"Ill called ill, {where}"
    return [*found, Criterion(name, f"{said}; sensitivity not checked here", limit, (known or 0) >= rule.sensitivity)]
