"""Write the parts of `clinical.md` on sex and age."""

from collections.abc import Iterator, Mapping
from typing import Any

from covid_xray.evaluation.audit.audit_page import format_interval

TITLES = {"image": "image alone", "joint": "image and values"}
Facts = Mapping[str, Any]


def bias_parts(facts: Facts | None) -> list[Iterator[str]]:
    """Return the sections as lines; none where nothing was measured."""
    if facts is None:
        return []
    names = [name for name in facts if name != "positive"]
    return [_groups(facts, names), _repair(facts, names)]


def format_signed(figure: Facts, *, key: str = "value") -> str:
    """Format a difference as `-0.037 (-0.062 to -0.011)`."""
    if figure["ci_low"] is None:
        return f"{figure[key]:+.3f} (too few)"
    return f"{figure[key]:+.3f} ({figure['ci_low']:+.3f} to {figure['ci_high']:+.3f})"


def _groups(facts: Facts, names: list[str]) -> Iterator[str]:
    positive = facts["positive"]
    yield "## By sex and age\n"
    heads = [f"{side} of {positive}, {TITLES[name]}" for side in ("sensitivity", "specificity") for name in names]
    yield "| group | images | patients | " + " | ".join(heads) + " |"
    yield "|---|" + "---|" * (len(heads) + 2)
    for asked, found in facts[names[0]]["groups"].items():
        for group, one in found["groups"].items():
            if "hidden" in one:
                yield f"| {asked}: {group} | {one['hidden']} | |" + " |" * len(heads)
                continue
            figures = [
                facts[name]["groups"][asked]["groups"][group]["figures"].get(f"{side}/{positive}")
                for side in ("sensitivity", "specificity")
                for name in names
            ]
            cells = [format_interval(figure) or "too few" for figure in figures]
            yield f"| {asked}: {group} | {one['n_images']:,} | {one['n_patients']:,} | " + " | ".join(cells) + " |"
        yield f"| {asked}: not stated | {found['not_stated']:,} | |" + " |" * len(heads)


def _repair(facts: Facts, names: list[str]) -> Iterator[str]:
    yield "## A threshold for each group, and what it costs\n"
    yield (
        f"One decision, {facts['positive']} or not. The single threshold (best balanced accuracy) and those of each "
        "group (equalized odds, fairlearn) are chosen on the parts val and calibration and judged on the test part. "
        "The gap is the largest difference between groups; chance alone makes it larger than 0.\n"
    )
    yield "| by | answer | groups judged: images (patients) | gap in sensitivity: one, each | gap in specificity: one, each | balanced accuracy: one, each | cost |"  # noqa: E501
    yield "|---|---|---|---|---|---|---|"
    for asked in facts[names[0]]["mitigation"]:
        for name in names:
            found = facts[name]["mitigation"][asked]
            if found is None:
                yield f"| {asked} | {TITLES[name]} | too few patients | | | | |"
                continue
            groups = ", ".join(f"{key} {n['images']:,} ({n['patients']:,})" for key, n in found["groups"].items())
            gaps = [", ".join(format_interval(found[way]["gap"][side]) for way in ("one", "each"))
                    for side in ("sensitivity", "specificity")]  # fmt: skip
            whole = ", ".join(format_interval(found[way]["balanced_accuracy"]) for way in ("one", "each"))
            cost = format_signed(found["difference"]["balanced_accuracy"])
            yield f"| {asked} | {TITLES[name]} | {groups} | {' | '.join(gaps)} | {whole} | {cost} |"
