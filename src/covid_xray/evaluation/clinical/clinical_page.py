"""Write `clinical.md`, its summary sentences, and `outcomes.md`."""

from collections.abc import Iterator, Mapping
from typing import Any

from covid_xray import clinical
from covid_xray.evaluation.audit.audit_page import DISCLAIMER, format_interval

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
    parts = [_head(facts), _fields(facts), *(_variants(facts, key) for key in ("all", "stated"))]
    parts += [*bias_parts(facts["worth"]["bias"]), _notes(facts)]
    return "\n".join("\n".join(part) + "\n" for part in map(list, parts))


def _head(facts: Facts) -> Iterator[str]:
    yield f"# Clinical values beside {facts['model']['name']}\n"
    if missingness_warning(facts):
        yield f"> **{missingness_warning(facts)}**\n"
    for line in facts["lines"]:
        if line != missingness_warning(facts):
            yield f"{line}\n"
    yield (
        f"Every image is predicted by fusion networks that were not trained on its patient ({facts['worth']['folds']} "
        "folds); the image network was trained on none of these patients. Intervals: 95 %, bootstrap over patients, "
        f"the same draws for all. {DISCLAIMER}"
    )


def _fields(facts: Facts) -> Iterator[str]:
    classes = facts["classes"]
    trained = {field["name"]: field for field in facts["fusion"]["fields"]}
    yield "## Which fields are stated\n"
    heads = [f"{name}: images (patients)" for name in classes]
    yield "| field | unit | " + " | ".join(heads) + " | in the bundle |"
    yield "|---|---|" + "---|" * (len(classes) + 1)
    for name, found in facts["worth"]["fields"].items():
        cells = [f"{found['images'][label]:,} ({found['patients'][label]:,})" for label in classes]
        used = trained[name]
        says = f"used for {', '.join(used['classes'])}" if used["used"] else "not used"
        yield (
            f"| {used['title']} | {used['unit'] or ('F or M' if name == 'sex' else 'yes or no')} | "
            + " | ".join(cells)
            + f" | {says} |"
        )
    silent = [field.title for field in clinical.FIELDS if field.name not in facts["worth"]["fields"]]
    if silent:
        yield f"\nNo image states: {', '.join(silent)}. These fields are accepted and cannot change an answer."


def _variants(facts: Facts, key: str) -> Iterator[str]:
    found = facts["worth"][key]
    title = "All images" if key == "all" else "Images that state a usable field, of the classes it is used for"
    # Without images of a class its F1 is 0 for everybody, and a mean over the classes says nothing.
    whole = all(found["labels"].values())
    shown = {name: text for name, text in SHOWN.items() if whole or name != HEADLINE}
    minus = (HEADLINE if whole else "balanced_accuracy", "nll")
    yield f"## {title}\n"
    yield f"{_labels(found)}\n"
    heads = [*shown.values(), *(f"{SHOWN[name]} minus the image's" for name in minus)]
    yield "| sees | " + " | ".join(heads) + " |"
    yield "|---|" + "---|" * len(heads)
    for row in found["variants"].values():
        cells = [format_interval(row["figures"].get(name)) for name in shown]
        cells += [format_difference(row["minus_image"][name]) if name in row["minus_image"] else "" for name in minus]
        yield f"| {row['sees']} | " + " | ".join(cells) + " |"
    draws = found["variants"]["joint-permuted"].get("mean_of_draws")
    if draws:
        yield f"\nMean over 20 permutations of the patients' values: {SHOWN[minus[0]]} {draws[minus[0]]:.3f}."


def _labels(found: Facts) -> str:
    labels = ", ".join(f"{name} {count:,}" for name, count in found["labels"].items())
    return f"{found['images']:,} images of {found['patients']:,} patients: {labels}."


def _notes(facts: Facts) -> Iterator[str]:
    trained, refused = facts["fusion"]["trained_on"], facts["worth"]["refused"]
    yield "## How, and how far it goes\n"
    yield (
        f"The bundle's own fusion network was trained on the parts {' and '.join(trained['parts'])}: "
        f"{trained['stating_a_used_field']['images']:,} images of {trained['stating_a_used_field']['patients']:,} "
        "patients state a usable field. Each field adds to the class scores; its class-balanced mean over training "
        "values is 0, so that stating a field favours no class."
    )
    yield (
        "Where a class comes from few hospitals, its ages and sexes are those of the hospitals: the values too depend "
        "on who was collected."
    )
    if refused:
        yield f"\nValues left out: {len(refused)}."
        for row in refused[:20]:
            yield f"- {row['image']}, {row['field']}: {row['reason']}"


def bias_parts(facts: Facts | None) -> list[Iterator[str]]:
    """Return the sections as lines; none where nothing was measured."""
    if facts is None:
        return []
    names = [name for name in facts if name != "positive"]
    return [_groups(facts, names), _repair(facts, names)]


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
            cost = format_difference(found["difference"]["balanced_accuracy"], key="value")
            yield f"| {asked} | {TITLES[name]} | {groups} | {' | '.join(gaps)} | {whole} | {cost} |"


def outcomes_page(facts: Facts) -> str:
    """Return the page from `model`, `images`, `outcomes` and `severity`."""
    return (
        "\n".join([*_outcomes_head(facts), *(line for found in facts["outcomes"].values() for line in _outcome(found))])
        + "\n"
    )


def _outcomes_head(facts: Facts) -> Iterator[str]:
    yield f"# Outcomes of covid patients predicted from the embedding of {facts['model']['name']}\n"
    yield (
        "Exploratory. One image of each patient, the earliest; only sources that record patients with and without the "
        "outcome; logistic regression, everything fitted inside five folds over patients. Intervals: 95 %, bootstrap "
        "over patients. Slope: below 1 overconfident, above 1 underconfident. No outcome predicts another, and "
        f"supplemental oxygen is no predictor. {facts['images']:,} images of covid. {DISCLAIMER}\n"
    )
    yield f"{facts['severity']}\n"


def _outcome(found: Facts) -> Iterator[str]:
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
    yield f"\nBoth minus {SEES[found['gain']['over']]}: AUROC {format_difference(found['gain'], key='value')}.\n"
    if _tells(found["models"]["missingness"]["auroc"]):
        yield "**Missingness alone predicts this outcome, which reflects how the data were collected.**\n"


def _tells(figure: Facts) -> bool:
    return figure["ci_low"] is not None and (figure["ci_low"] > 0.5 or figure["ci_high"] < 0.5)
