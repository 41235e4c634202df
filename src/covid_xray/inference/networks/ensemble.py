"""Answer with several bundles at once: mean of their calibrated probabilities, and the spread between them.

Every network is calibrated by its own bundle, and the mean is taken of the results (Lakshminarayanan and others 2017).
An ensemble answers only where all members do: reasons of one are reasons of all, and the prediction set is the union
of the members' sets, so that it holds the true class at least as often as each of them.
"""

import dataclasses
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from covid_xray.bundle.bundle import Bundle, unsealed
from covid_xray.errors import UsageError
from covid_xray.inference.finding import CANNOT_SAY, Finding, ModelIdentity
from covid_xray.inference.gate import Verdict
from covid_xray.inference.heatmap import mean_maps
from covid_xray.inference.prediction_sets import undecided


def combine(findings: Sequence[Finding], *, model: ModelIdentity) -> Finding:
    """Combine the findings of all members for one image into one.

    The label follows from the union of the prediction sets by the rule of every bundle (`prediction_sets.undecided`);
    a member without sets counts with its most probable class.
    """
    first = findings[0]
    rows = np.array([list(finding.probabilities.values()) for finding in findings])
    mean, spread = (dict(zip(first.probabilities, map(float, values), strict=True))
                    for values in (rows.mean(axis=0), rows.std(axis=0)))  # fmt: skip
    sets = [finding.prediction_set or (_most_probable(finding.probabilities),) for finding in findings]
    kept = tuple(name for name in mean if any(name in one for one in sets))
    own = [set(one.reasons) - set(undecided(one.prediction_set, finite=True)) for one in findings]
    told = [reason for one, left in zip(findings, own, strict=True) for reason in one.reasons if reason in left]
    reasons = tuple(dict.fromkeys([*told, *undecided(kept, finite=bool(np.isfinite(rows).all()))]))
    return dataclasses.replace(
        first,
        probabilities=mean,
        spread=spread,
        label=CANNOT_SAY if reasons else _most_probable(mean),
        reasons=reasons,
        prediction_set=kept if all(finding.prediction_set for finding in findings) else None,
        operating_points=_points(findings),
        gate=_verdicts(findings),
        model=model,
        class_maps=mean_maps([one.class_maps for one in findings if one.class_maps is not None]),
        lungs=next((finding.lungs for finding in findings if finding.lungs), None),
        ill=_mean([finding.ill for finding in findings]),
        known=_mean([finding.known for finding in findings]),
    )


def bundle_of(bundles: Sequence[Bundle]) -> Bundle:
    """Describe an ensemble as a bundle without a network: joined names and hashes, and what the members share.

    It has no temperature, prediction sets and operating points, since those of the members are used before the mean.
    One bundle is returned as it is.

    Raises:
        UsageError: the same network twice, or classes that differ.
    """
    first = bundles[0]
    if len(bundles) == 1:
        return first
    for number, bundle in enumerate(bundles):
        if bundle.classes != first.classes:
            raise UsageError(
                f"The classes of the bundles differ: {', '.join(first.classes)} in {first.folder}, and "
                f"{', '.join(bundle.classes)} in {bundle.folder}. Give bundles with the same classes in the same order."
            )
        if bundle.sha256 in [one.sha256 for one in bundles[:number]]:
            raise UsageError(f"The network in {bundle.folder} was given twice. Give each one once.")
    identity = identity_of(bundles)
    shared = {key: first.facts[key] for key in ("format", "classes", "input", "outputs")}
    if all(bundle.contents.well == first.contents.well for bundle in bundles) and first.contents.well:
        shared["well"] = first.contents.well
    about = {**identity.as_dict(), "model": {"sha256": identity.sha256}, "temperature": 1.0}
    trained = [bundle.facts["training_data"] for bundle in bundles if bundle.facts.get("training_data")]
    return unsealed({**shared, **about, "training_data": _joined(trained)}, b"", folder=first.folder)


def identity_of(bundles: Sequence[Bundle]) -> ModelIdentity:
    """Name the networks of one bundle, or of several."""
    members = tuple(ModelIdentity(bundle.name, bundle.version, bundle.sha256) for bundle in bundles)
    if len(members) == 1:
        return members[0]
    name, version = (" + ".join(getattr(one, key) for one in members) for key in ("name", "version"))
    return ModelIdentity(name, version, "+".join(one.sha256 for one in members), members)


def _joined(training: Sequence[Mapping[str, Any]]) -> dict[str, Any]:
    """Name the training data of all members; their images are not added up, since they may be the same."""
    sources: dict[str, dict[str, int]] = {"source": {}, "license": {}}
    for key, found in sources.items():
        for one in training:
            for name, count in (one.get(key) or {}).items():
                found[name] = max(count, found.get(name, 0))
    fingerprints = dict.fromkeys(str(one["fingerprint"]) for one in training if one.get("fingerprint"))
    return {"fingerprint": "+".join(fingerprints), **sources}


def _most_probable(probabilities: Mapping[str, float]) -> str:
    return max(probabilities, key=probabilities.__getitem__)


def _mean(values: Sequence[float | None]) -> float | None:
    known = [value for value in values if value is not None]
    return float(np.mean(known)) if len(known) == len(values) else None


def _points(findings: Sequence[Finding]) -> dict[str, dict[str, bool]] | None:
    """Combine what the thresholds say: to rule a class in or to exclude it all members that have some must agree."""
    found: dict[str, dict[str, bool]] = {}
    for finding in findings:
        for name, reached in (finding.operating_points or {}).items():
            points = found.setdefault(name, {})
            for point, yes in reached.items():
                # A probability that reaches `rule-out` does not rule the class out: one such member is enough.
                agree = any if point == "rule-out" else all
                points[point] = agree((yes, points.get(point, yes)))
    return found or None


def _verdicts(findings: Sequence[Finding]) -> dict[str, Verdict] | None:
    """Take each check of the gate from a member that objects, else from the first that has it."""
    found: dict[str, Verdict] = {}
    for finding in findings:
        for name, verdict in (finding.gate or {}).items():
            if name not in found or (found[name]["ok"] and not verdict["ok"]):
                found[name] = verdict
    return found or (None if all(finding.gate is None for finding in findings) else {})
