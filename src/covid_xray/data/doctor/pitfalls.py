"""Check a manifest's table for copies, patients in two parts, and classes that other facts than the lungs predict."""

import math
from collections.abc import Callable

import pandas as pd

from covid_xray.data.doctor.pitfall import Pitfall, Verdict, cramers_v, judge, predictable_share
from covid_xray.data.duplicates.overlap import (
    contradictions,
    distinct,
    double_patients,
    patients_in_two_classes,
    radiographs,
)
from covid_xray.data.manifest.importers import FRONTAL
from covid_xray.data.manifest.licenses import license_class
from covid_xray.data.manifest.manifest import Manifest
from covid_xray.data.manifest.tables import number_column

V_WARN, V_FAIL = 0.1, 0.3  # Cramer's V; DeGrave and others, Nature Machine Intelligence 3 (2021) 610, for the source
PAEDIATRIC = ("kermany",)  # sources of children only, whose tables state no age
ADULT = 18
EXAMPLES = 8
PURE = 0.95  # share of one class from which a source counts as holding little else
NOT_DECODING = {"missing-file", "no-label", "no-image", "license", "listed-twice", "unknown-label"}  # other refusals


def readable(manifest: Manifest) -> Pitfall:
    """Check for files that cannot be decoded."""
    broken = manifest.quarantine[~manifest.quarantine["code"].isin(NOT_DECODING)]
    share = len(broken) / max(1, manifest.found)
    says = f"{len(broken):,} of {manifest.found:,} files cannot be read as a radiograph."
    advice = "See quarantine.csv; get these files again, or report that they are missing."
    examples = tuple(f"{row.image}: {row.code}" for row in broken.head(EXAMPLES).itertuples())
    verdict = judge(share, warn=0, fail=0.05)
    return Pitfall("readable", "Can every file be read?", verdict, share, "share unreadable", says, advice, examples)


def class_counts(manifest: Manifest) -> Pitfall:
    """Check for classes with few images, or far fewer than another."""
    counts = manifest.table["label"].value_counts()
    ratio = float(counts.max() / counts.min()) if len(counts) > 1 else float("nan")
    says = ", ".join(f"{label} {count:,}" for label, count in counts.sort_index().items()) + "."
    if len(counts) < 2 or counts.min() < 30:
        verdict = Verdict.FAIL
    else:
        verdict = Verdict.WARN if ratio > 10 or counts.min() < 200 else Verdict.PASS
    advice = "Report each class by itself with its interval; leave out a class of a few dozen images, or collect more."
    question = "Are there enough images of each class?"
    return Pitfall("class-counts", question, verdict, ratio, "largest class / smallest", says, advice)


def copies(manifest: Manifest) -> Pitfall:
    """Check for several images of one radiograph."""
    images, films, _ = distinct(manifest)
    share = 1 - films / images
    near = "group" in manifest.table
    says = f"{images:,} images show {films:,} radiographs; {images - films:,} are further copies."
    if not near:
        says += " Only identical files and pixels were compared; near copies were not searched."
    advice = "Run `covid-xray duplicates` and give its table by --duplicates; count radiographs, not files."
    verdict = judge(share, warn=0, fail=1) if near else Verdict.WARN
    question = "Is there one image of each radiograph?"
    return Pitfall("copies", question, verdict, share, "share of further copies", says, advice)


def copies_across_classes(manifest: Manifest) -> Pitfall:
    """Check for radiographs with two labels."""
    found = contradictions(manifest)
    says = f"{len(found):,} radiographs have copies with different labels."
    advice = "Either one label is wrong or one names the cause of the other: decide, and record the decision."
    examples = tuple(f"{row.labels}: {row.images}" for row in found.head(EXAMPLES).itertuples())
    verdict = Verdict.FAIL if len(found) else Verdict.PASS
    question = "Has each radiograph one label?"
    return Pitfall("copies-across-classes", question, verdict, len(found), "radiographs", says, advice, examples)


def across_splits(manifest: Manifest, *, column: str = "split") -> list[Pitfall]:
    """Check for copies and patients in two parts of `column`; no checks when the column is missing or empty."""
    if column not in manifest.table or manifest.table[column].replace("", pd.NA).nunique() < 2:
        return []
    table = manifest.table.assign(film=radiographs(manifest).to_numpy())
    table = table[table[column] != ""]
    found = []
    for name, key, what in (("copies", "film", "radiographs"), ("patients", "patient_id", "patients")):
        if key not in table:
            continue
        known = table[table[key] != ""]
        sides = known.groupby(key)[column].nunique()
        bad = sides[sides > 1].index
        rows = known[known[key].isin(bad)]
        examples = tuple(" | ".join(group["image"].head(3)) for _, group in list(rows.groupby(key))[:EXAMPLES])
        says = f"{len(bad):,} {what} are in two parts of the column {column} ({len(rows):,} images)."
        if key == "patient_id" and len(known) < len(table):
            says += f" The patient is known for only {len(known):,} of {len(table):,} images."
        advice = "Do not use this split: `covid-xray split` makes one by patient and radiograph."
        if not len(bad):
            advice = "Get the missing patient ids before trusting this split."
        verdict = Verdict.FAIL if len(bad) else (Verdict.PASS if len(known) == len(table) else Verdict.WARN)
        question = f"Is each of the {what} in one part of `{column}`?"
        found.append(Pitfall(f"{name}-across-{column}", question, verdict, len(bad), what, says, advice, examples))
    return found


def patients_known(manifest: Manifest) -> Pitfall:
    """Check for images of unknown patients."""
    known = (manifest.table["patient_id"] != "").mean() if "patient_id" in manifest.table else 0.0
    says = f"{known:.0%} of the images have a patient id; the others count as one patient each."
    advice = "A split by patient cannot separate images without an id. Get the ids, or hold out a whole source."
    verdict = judge(1 - known, warn=0.02, fail=0.5)
    question = "Is the patient of each image known?"
    return Pitfall("patients-known", question, verdict, 1 - float(known), "share without a patient", says, advice)


def patients_two_classes(manifest: Manifest) -> Pitfall:
    """Check for patients in two classes."""
    found = patients_in_two_classes(manifest)
    says = f"{len(found):,} patients have images in two classes ({int(found['images'].sum()):,} images)."
    advice = "It may be right (ill, then well), but such a patient must stay in one part of a split."
    examples = tuple(f"{row.patient_id}: {row.labels}" for row in found.head(EXAMPLES).itertuples())
    verdict = Verdict.WARN if len(found) else Verdict.PASS
    question = "Is each patient in one class?"
    return Pitfall("patients-in-two-classes", question, verdict, len(found), "patients", says, advice, examples)


def patients_two_ids(manifest: Manifest) -> Pitfall:
    """Check for radiographs with two patient ids."""
    found = double_patients(manifest)
    says = f"{len(found):,} radiographs have two or more patient ids."
    advice = "Sources have different ids for the same people; `covid-xray split` joins them by the shared radiograph."
    examples = tuple(str(row.patients) for row in found.head(EXAMPLES).itertuples())
    verdict = Verdict.WARN if len(found) else Verdict.PASS
    question = "Has each patient one id?"
    return Pitfall("patients-with-two-ids", question, verdict, len(found), "radiographs", says, advice, examples)


def one_source_per_class(manifest: Manifest) -> Pitfall:
    """Check whether the source alone predicts the class."""
    name, question = "one-source-per-class", "Does the source alone predict the class?"
    advice = (
        "A network can learn the hospital instead of the disease. Test on a source that was left out of training, and "
        "do not call a test external in which each class has its own source."
    )
    if "source" not in manifest.table or manifest.table["source"].nunique() < 2:
        says = "Fewer than two sources are stated, so that differences of the classes by origin are unknown."
        return Pitfall(name, question, Verdict.WARN, math.nan, "share predicted", says, advice)
    label, source = manifest.table["label"], manifest.table["source"]
    share, chance = predictable_share(label, source), float(label.value_counts(normalize=True).max())
    alone = share_from_pure_sources(manifest.table)
    worst = max(alone, key=lambda name: alone[name])
    says = (
        f"The source alone predicts the class of {share:.0%} of the images (the largest class is {chance:.0%}). "
        f"{alone[worst]:.0%} of the images of the class {worst} are from sources that hold almost only this class."
    )
    verdict = judge(max((share - chance) / max(1e-9, 1 - chance), alone[worst]), warn=0.1, fail=0.5)
    return Pitfall(name, question, verdict, share, "share predicted by the source", says, advice)


def share_from_pure_sources(table: pd.DataFrame) -> dict[str, float]:
    """Return for each label the share of its images from sources of which it makes up at least 95 %."""
    counts = pd.crosstab(table["source"], table["label"])
    pure = counts.div(counts.sum(axis=1), axis=0) >= PURE
    return {str(label): float(counts[label][pure[label]].sum() / counts[label].sum()) for label in counts}


def associated(manifest: Manifest, column: str, values: pd.Series, *, what: str, fail: float = V_FAIL) -> Pitfall:
    """Check the association of the class and `values` by Cramer's V."""
    v = cramers_v(manifest.table["label"], values)
    known = float((values != "").mean())
    says = f"Cramer's V of class and {what} is {v:.2f}, over the {known:.0%} of images where it is known."
    if values[values != ""].nunique() == 1 and known > 0.95:
        v, says = 0.0, f"Every image has the same {what}."
    elif math.isnan(v):
        says = f"Unknown: the {what} is stated for {known:.0%} of the images, but not two values for two classes."
    default = f"Report scores for each {what} by itself, or collect a set in which it does not differ."
    advice = ADVICE.get(column, default)
    question = f"Is the {what} the same in all classes?"
    verdict = judge(v, warn=V_WARN, fail=fail)
    return Pitfall(f"class-and-{column}", question, verdict, v, "Cramer's V", says, advice)


def associations(manifest: Manifest) -> list[Pitfall]:
    """Check the association of the class with each of `ASSOCIATED`; no checks for a set of one class.

    The original file's size is checked only where the table has it.
    """
    if len(manifest.classes) < 2:
        return []
    sized = {"width", "height"} <= set(manifest.table.columns)
    checked = [row for row in ASSOCIATED if sized or row[0] != "original-size"]
    return [associated(manifest, name, values(manifest.table), what=what) for name, what, values in checked]


def views(manifest: Manifest) -> Pitfall:
    """Check for images whose stated view is not frontal."""
    stated = manifest.table.get("view", pd.Series("", index=manifest.table.index))
    side = manifest.table["image"][~stated.str.lower().isin(FRONTAL)]
    says = f"{len(side):,} images state a view that is not frontal; {(stated != '').mean():.0%} state any view."
    advice = "Leave them out: --where view=PA,AP."
    verdict = Verdict.FAIL if len(side) else (Verdict.PASS if (stated != "").mean() > 0.95 else Verdict.WARN)
    question = "Are all stated views frontal?"
    return Pitfall("views", question, verdict, len(side), "images", says, advice, tuple(side.head(EXAMPLES)))


def licenses(manifest: Manifest) -> Pitfall:
    """Check for images whose licence is non-commercial or unknown."""
    texts = manifest.table.get("license", pd.Series("", index=manifest.table.index))
    kinds = texts.map(license_class).value_counts(normalize=True)
    unknown = float(kinds.get("unknown", 0.0))
    says = ", ".join(f"{kind} {share:.0%}" for kind, share in kinds.items()) + "."
    advice = "Index with --license-allow open (or noncommercial) before publishing a model."
    verdict = judge(unknown, warn=0, fail=1) if kinds.get("noncommercial", 0) == 0 else Verdict.WARN
    question = "May every image be used?"
    return Pitfall("licenses", question, verdict, unknown, "share with no clear licence", says, advice)


def metadata(manifest: Manifest) -> Pitfall:
    """Check for facts that are missing, and missing in one class more than in another."""
    names = ("patient_id", "source", "view", "age", "sex")
    table = manifest.table.reindex(columns=[*names, "label"], fill_value="")
    known = {name: float((table[name] != "").mean()) for name in names}
    vs = [cramers_v(table["label"], (table[name] != "").map({True: "known", False: "not"})) for name in names]
    worst = max((v for v in vs if not math.isnan(v)), default=float("nan"))
    says = "Known: " + ", ".join(f"{name} {share:.0%}" for name, share in known.items()) + "."
    if not math.isnan(worst):
        says += f" Cramer's V of the class and whether a fact is known is up to {worst:.2f}."
    advice = "Subgroup results cover only the images that state the group; report how many."
    verdict = Verdict.WARN if min(known.values()) < 0.9 or worst > V_FAIL else Verdict.PASS
    question = "Are patient, source, view, age and sex stated?"
    return Pitfall("metadata", question, verdict, min(known.values()), "share known of the rarest", says, advice)


def age_band(table: pd.DataFrame) -> pd.Series:
    """Return `0-17`, `18-39`, `40-59`, `60-79`, `80+`, or "" where no age is stated."""
    names = ["0-17", "18-39", "40-59", "60-79", "80+"]
    bands = pd.cut(number_column(table, "age"), [0, 18, 40, 60, 80, 200], right=False, labels=names)
    return bands.astype(object).where(bands.notna(), "").astype(str)


def child(table: pd.DataFrame) -> pd.Series:
    """Return `child`, `adult` or "" by age, else by a source of children only."""
    age = number_column(table, "age")
    result = age.map(lambda years: "" if math.isnan(years) else ("child" if years < ADULT else "adult")).astype(object)
    source = table.get("source", pd.Series("", index=table.index))
    return result.where(~((result == "") & source.isin(PAEDIATRIC)), "child").astype(str)


def size(table: pd.DataFrame, *, width: str = "file_width", height: str = "file_height") -> pd.Series:
    """Return log2 of the area to a half and the aspect to a tenth, as `17.5 1.2`; "" where unknown."""
    pixels = number_column(table, width) * number_column(table, height)
    area = pixels.map(lambda n: f"{round(2 * math.log2(n)) / 2:g}" if n > 0 else "")
    aspect = (number_column(table, width) / number_column(table, height)).map(lambda ratio: f"{ratio:.1f}")
    return (area + " " + aspect).where(area != "", "")


def _column(name: str) -> Callable[[pd.DataFrame], pd.Series]:
    return lambda table: table.get(name, pd.Series("", index=table.index))


ASSOCIATED: tuple[tuple[str, str, Callable[[pd.DataFrame], pd.Series]], ...] = (
    ("source", "source", _column("source")),
    ("view", "view", _column("view")),
    ("sex", "sex", _column("sex")),
    ("age", "age band", age_band),
    ("children", "age group (child or adult)", child),
    ("size", "image size", size),
    ("original-size", "size of the original file", lambda table: size(table, width="width", height="height")),
    ("format", "file format", lambda t: _column("file_format")(t) + _column("file_mode")(t)),
)
ADVICE = {
    "size": "Crop all images to one shape before training, and compare with the baseline of file facts.",
    "original-size": "Shape and sharpness of the originals stay visible after resizing: compare with the baselines.",
    "format": "Save all images again in one format; traces of the old encoder may still predict the class.",
    "children": "Do not train with one class of children and another of adults: the network learns the chest size.",
}
TABLE_CHECKS: tuple[Callable[[Manifest], Pitfall], ...] = (
    readable, class_counts, copies, copies_across_classes, patients_known, patients_two_classes, patients_two_ids,
    one_source_per_class, views, licenses, metadata,
)  # fmt: skip
