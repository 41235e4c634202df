"""Write `audit.md` from audit.json: the verdict first, then its evidence."""

from collections.abc import Iterator, Mapping
from typing import Any

from covid_xray.evaluation.audit.shortcut_verdict import NAMES, format_share
from covid_xray.evaluation.audit.shortcuts import HEADLINE, SCORES

DISCLAIMER = "Research use, not for diagnosis."
NO_LOCALISATION = "A heat map is not a localisation: it shows what moved the score, not where disease is."
Facts = Mapping[str, Any]


def audit_page(facts: Facts) -> str:
    """Return `audit.md`; its figures lie in `figures/`."""
    parts = [_head(facts), _conditions(facts), _sources(facts), _embedding(facts), _beside(facts)]
    parts += [_heatmaps(facts["heatmaps"])] if facts["heatmaps"] else []
    parts += [_limits(facts)]
    return "\n".join("\n".join(part) + "\n" for part in map(list, parts) if part)


def format_interval(figure: Facts | None) -> str:
    """Format a figure as `0.812 (0.760 to 0.851)`."""
    if figure is None:
        return ""
    if figure["ci_low"] is None:
        return f"{figure['value']:.3f} (too few)"
    return f"{figure['value']:.3f} ({figure['ci_low']:.3f} to {figure['ci_high']:.3f})"


def _head(facts: Facts) -> Iterator[str]:
    verdict = facts["verdict"]
    yield f"# Shortcut audit of {facts['model']['name']}\n"
    yield f"**{verdict['line']}**\n"
    if verdict["means"] != verdict["line"]:
        yield f"{verdict['means']}\n"
    who = "" if facts["patients"] is None else f" of {facts['patients']:,} patients"
    labels = ", ".join(f"{name} {count:,}" for name, count in facts["labels"].items())
    yield f"{facts['images']:,} images{who} ({facts['part']} part): {labels}. Intervals: 95 %, bootstrap over patients."
    masks = facts["masks"]
    yield f"The lungs are {masks['says']}; they take {masks['area']:.0%} of the network's input."
    if masks["dice_with_files"]:
        agreement = masks["dice_with_files"]
        yield (
            f"Beside mask files of {agreement['images']:,} of these images: Dice {agreement['median']:.3f} in the "
            f"median, {agreement['lowest']:.3f} at worst."
        )
    yield f"{DISCLAIMER}"


def _conditions(facts: Facts) -> Iterator[str]:
    yield "## What survives\n"
    yield "| visible | " + " | ".join(NAMES[score] for score in SCORES) + f" | survives ({NAMES[HEADLINE]}) |"
    yield "|---|" + "---|" * (len(SCORES) + 1)
    for row in facts["conditions"]:
        kept = row["retained"].get(HEADLINE)
        cells = [format_interval(row["figures"].get(score)) for score in SCORES]
        yield f"| {row['shows']} | " + " | ".join([*cells, format_share(kept) if kept else ""]) + " |"
    chance = facts["chance"]
    yield "| chance | " + " | ".join(f"{chance[score]:.3f}" for score in SCORES) + " | 0 % |"
    yield "\n![what survives](figures/audit_conditions.png)"


def _sources(facts: Facts) -> Iterator[str]:
    rows = [row for row in facts["conditions"] if row["worst_source"]]
    if rows:
        yield "## By source (share of right answers)\n"
        names = list(rows[0]["by_source"])
        yield "| visible | " + " | ".join(names) + " | worst |"
        yield "|---|" + "---|" * (len(names) + 1)
        for row in rows:
            cells = [_value(row["by_source"][name]["accuracy"]) for name in names]
            yield f"| {row['shows']} | " + " | ".join([*cells, row["worst_source"]["name"]]) + " |"


def _value(figure: Facts | None) -> str:
    return "too few" if figure is None else f"{figure['value']:.3f}"


def _embedding(facts: Facts) -> Iterator[str]:
    probe = facts["source_from_embedding"]
    yield "## The source, read from the network's embedding\n"
    yield (
        "Within one class the disease is the same. What distinguishes the sources there is not disease, and a network "
        "whose last layer contains it can use it.\n"
    )
    if probe["classes"]:
        yield "| class | sources | images | balanced accuracy | chance |"
        yield "|---|---|---|---|---|"
    for label, row in probe["classes"].items():
        names = ", ".join(f"{name} {count}" for name, count in row["sources"].items())
        score = format_interval(row["balanced_accuracy"])
        yield f"| {label} | {names} | {row['images']} | {score} | {row['chance']:.3f} |"
    for label, why in probe["skipped"].items():
        yield f"\n{label}: not measured; {why}."


def _beside(facts: Facts) -> Iterator[str]:
    baselines, held = facts["baselines"], facts["sources_left_out"]
    if baselines:
        best = baselines["best"]
        yield "## Without any network\n"
        yield (
            f"The best baseline without lungs ({best['sees']}): macro-F1 "
            f"{format_interval(best['figures']['macro_f1'])}, in grouped folds of {baselines['images']:,} images."
        )
    if held:
        yield "\n## Sources left out of training\n"
        yield (
            f"The same recipe, trained without the source and tested on it; macro-F1 over all {held['images']:,} "
            f"images {format_interval(held['figures'].get('macro_f1'))}.\n"
        )
        yield "| source left out | images | share of right answers |"
        yield "|---|---|---|"
        for row in held["rows"]:
            yield f"| {row['source']} | {row['images']:,} | {format_interval(row['accuracy']) or 'too few'} |"


def _heatmaps(found: Facts) -> Iterator[str]:
    yield "## Heat maps\n"
    yield f"**{NO_LOCALISATION}** {found['images']} images, the map of the predicted class.\n"
    cascade = found["cascade"]
    yield f"Layers made random from the output down: {cascade['line']}\n"
    yield "| made random down to | Spearman | SSIM |"
    yield "|---|---|---|"
    for row in cascade["steps"]:
        yield f"| {row['layer']} | {format_interval(row['spearman'])} | {format_interval(row['ssim'])} |"
    floor = cascade["unrelated"]
    yield f"| (two different images) | {format_interval(floor['spearman'])} | {format_interval(floor['ssim'])} |"
    yield "\n![cascading randomisation](figures/audit_cascade.png)\n"
    heads = ("map", "mass in the lungs / their share of the picture", "insertion AUC (high)", "deletion AUC (low)")
    yield "| " + " | ".join(heads) + " |"
    yield "|---|---|---|---|"
    for row in found["methods"]:
        cells = [format_interval(row[key]) for key in ("lung_ratio", "insertion", "deletion")]
        yield f"| {row['shows']} | " + " | ".join(cells) + " |"
    yield f"\n{found['faithful']}"
    if found["seeds"]:
        seeds = found["seeds"]
        yield (
            f"\nAgreement of {seeds['networks']} networks: Spearman {format_interval(seeds['spearman'])}, "
            f"SSIM {format_interval(seeds['ssim'])} over pairs of maps of one image."
        )


def _limits(facts: Facts) -> Iterator[str]:
    yield "## Limits\n"
    yield (
        "- A score that survives proves that the hidden part was not needed. A lower score proves less, because the "
        "picture also becomes less familiar. What survives is a lower bound; the verdict uses the best way of hiding."
    )
    yield (
        "- Where the mean picture replaces the lungs, their outline remains faintly visible; outside the fixed box it "
        "does not."
    )
    yield "- Heart, spine, devices and letters over the lungs count as lungs where a mask covers them."
    for note in facts["notes"]:
        yield f"- {note}"
