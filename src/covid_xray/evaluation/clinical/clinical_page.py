"""Write `clinical.md` and its summary sentences: what clinical values add to the image."""

from collections.abc import Iterator, Mapping
from typing import Any

from covid_xray import clinical
from covid_xray.evaluation.audit.audit_page import DISCLAIMER, format_interval
from covid_xray.evaluation.clinical.bias_page import bias_parts

SHOWN = {"balanced_accuracy": "balanced accuracy", "macro_f1": "macro-F1", "auroc_macro": "AUROC", "nll": "NLL"}
HEADLINE = "macro_f1"
Facts = Mapping[str, Any]


def summary_sentences(facts: Facts) -> list[str]:
    """Summarise the study in a few sentences, the warning about missingness first."""
    found, variants = facts["worth"]["all"], facts["worth"]["all"]["variants"]
    told = [missingness_warning(facts)] if missingness_warning(facts) else []
    joint, usual = variants["joint"]["minus_image"][HEADLINE], variants["joint-usual"]["minus_image"][HEADLINE]
    only = variants["joint-missingness"]["minus_image"][HEADLINE]
    people = f"{found['images']:,} images of {found['patients']:,} patients"
    told.append(
        f"Clinical values add {format_difference(joint)} to the image's macro-F1 of "
        f"{format_interval(variants['image']['figures'][HEADLINE])} ({people}): {describe_difference(joint)}."
    )
    told.append(
        f"The usual design, with missing-indicators as features, would add {format_difference(usual)}, the indicators "
        f"alone {format_difference(only)}: this reflects how the data were collected, and is not part of the bundle."
    )
    inside = facts["worth"]["stated"]
    alone = inside["variants"]["missingness"]
    if (alone["minus_image"]["balanced_accuracy"]["ci_low"] or 0) > 0:
        told.append(
            f"Among the {inside['images']:,} images that state a usable field, missingness alone predicts the class "
            "better than the image does: balanced accuracy "
            f"{format_interval(alone['figures']['balanced_accuracy'])} beside "
            f"{format_interval(inside['variants']['image']['figures']['balanced_accuracy'])}."
        )
    swapped = variants["joint-permuted"]["minus_image"][HEADLINE]
    told.append(
        f"With the values of other patients the joint model differs from the image by {format_difference(swapped)}."
    )
    return told


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


def format_difference(figure: Facts) -> str:
    """Format a difference as `+0.008 (-0.004 to +0.021)`."""
    if figure["ci_low"] is None:
        return f"{figure['difference']:+.3f} (too few)"
    return f"{figure['difference']:+.3f} ({figure['ci_low']:+.3f} to {figure['ci_high']:+.3f})"


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
    shown = {name: told for name, told in SHOWN.items() if whole or name != HEADLINE}
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
