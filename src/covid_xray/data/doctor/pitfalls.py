"""Pitfalls that a table alone shows: copies, patients, and classes that something else than the lungs tells apart."""

import math
from collections.abc import Callable

import pandas as pd

from covid_xray.data.doctor.pitfall import Pitfall, Verdict, cramers_v, guessed, judged
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
PAEDIATRIC = ("kermany",)  # sources whose owners say that all patients are children, though no row gives an age
ADULT = 18
EXAMPLES = 8
PURE = 0.95  # a source of which one class makes up so much holds nearly nothing else
# Told by the file or the picture, not by the choice of rows.
UNREADABLE = {"missing-file", "no-label", "no-image", "license", "listed-twice", "unknown-label"}


def readable(manifest: Manifest) -> Pitfall:
    """Files that do not decode."""
    broken = manifest.quarantine[~manifest.quarantine["code"].isin(UNREADABLE)]
    share = len(broken) / max(1, manifest.found)
    says = f"{len(broken):,} of {manifest.found:,} files found cannot be read as a radiograph."
    advice = "Look at quarantine.csv; get these files again, or say in the report that they are missing."
    examples = tuple(f"{row.image}: {row.code}" for row in broken.head(EXAMPLES).itertuples())
    verdict = judged(share, warn=0, fail=0.05)
    return Pitfall("readable", "Can every file be read?", verdict, share, "share unreadable", says, advice, examples)


def class_counts(manifest: Manifest) -> Pitfall:
    """Too few images of a class, or far fewer than of another."""
    counts = manifest.table["label"].value_counts()
    ratio = float(counts.max() / counts.min()) if len(counts) > 1 else float("nan")
    says = ", ".join(f"{label} {count:,}" for label, count in counts.sort_index().items()) + "."
    if len(counts) < 2 or counts.min() < 30:
        verdict = Verdict.FAIL
    else:
        verdict = Verdict.WARN if ratio > 10 or counts.min() < 200 else Verdict.PASS
    advice = "Report each class by itself with its interval; leave out a class of a few dozen, or gather more."
    question = "Are there enough images of each class?"
    return Pitfall("class-counts", question, verdict, ratio, "largest class / smallest", says, advice)


def copies(manifest: Manifest) -> Pitfall:
    """Images that show a radiograph which is there already."""
    images, films, _ = distinct(manifest)
    share = 1 - films / images
    near = "group" in manifest.table
    says = f"{images:,} images show {films:,} radiographs; {images - films:,} are further copies."
    if not near:
        says += " Only identical files and pixels were compared; near copies were not searched."
    advice = "Run `covid-xray duplicates` and give its table with --duplicates; count radiographs, not files."
    verdict = judged(share, warn=0, fail=1) if near else Verdict.WARN
    question = "Is each radiograph there once?"
    return Pitfall("copies", question, verdict, share, "share of further copies", says, advice)


def copies_across_classes(manifest: Manifest) -> Pitfall:
    """One radiograph with two labels."""
    found = contradictions(manifest)
    says = f"{len(found):,} radiographs have copies with different labels."
    advice = "One of the labels is wrong, or one is the cause of the other: look, decide, and write the decision down."
    examples = tuple(f"{row.labels}: {row.images}" for row in found.head(EXAMPLES).itertuples())
    verdict = Verdict.FAIL if len(found) else Verdict.PASS
    question = "Has each radiograph one label?"
    return Pitfall("copies-across-classes", question, verdict, len(found), "radiographs", says, advice, examples)


def across_splits(manifest: Manifest, *, column: str = "split") -> list[Pitfall]:
    """Copies and patients on two sides of the parts in `column`; none when the column is not there or empty."""
    if column not in manifest.table or manifest.table[column].replace("", pd.NA).nunique() < 2:
        return []
    table = manifest.table.assign(film=radiographs(manifest).to_numpy())
    table = table[table[column] != ""]
    found = []
    asked = (("copies", "film", "radiographs"), ("patients", "patient_id", "patients"))
    for name, key, what in asked:
        if key not in table:
            continue
        known = table[table[key] != ""]
        sides = known.groupby(key)[column].nunique()
        bad = sides[sides > 1].index
        rows = known[known[key].isin(bad)]
        examples = tuple(" | ".join(group["image"].head(3)) for _, group in list(rows.groupby(key))[:EXAMPLES])
        says = f"{len(bad):,} {what} are on two sides of the column {column} ({len(rows):,} images)."
        if key == "patient_id" and len(known) < len(table):
            says += f" The patient is known for {len(known):,} of {len(table):,} images only."
        advice = "Do not use this split: `covid-xray split` makes one by patient and radiograph."
        if not len(bad):
            advice = "Ask for the missing patient ids before trusting this split."
        verdict = Verdict.FAIL if len(bad) else (Verdict.PASS if len(known) == len(table) else Verdict.WARN)
        question = f"Is each of the {what} in one part of `{column}`?"
        found.append(Pitfall(f"{name}-across-{column}", question, verdict, len(bad), what, says, advice, examples))
    return found


def patients_known(manifest: Manifest) -> Pitfall:
    """Images whose patient nobody names."""
    known = (manifest.table["patient_id"] != "").mean() if "patient_id" in manifest.table else 0.0
    says = f"{known:.0%} of the images name their patient; the others count as one patient each."
    advice = "A split by patient cannot protect images without one. Ask for ids, or hold a whole source out."
    verdict = judged(1 - known, warn=0.02, fail=0.5)
    question = "Is the patient of each image known?"
    return Pitfall("patients-known", question, verdict, 1 - float(known), "share without a patient", says, advice)


def patients_two_classes(manifest: Manifest) -> Pitfall:
    """Patients in two classes."""
    found = patients_in_two_classes(manifest)
    says = f"{len(found):,} patients have images in two classes ({int(found['images'].sum()):,} images)."
    advice = "It may be right (ill, then well), but such a patient must stay on one side of a split."
    examples = tuple(f"{row.patient_id}: {row.labels}" for row in found.head(EXAMPLES).itertuples())
    verdict = Verdict.WARN if len(found) else Verdict.PASS
    question = "Is each patient in one class?"
    return Pitfall("patients-in-two-classes", question, verdict, len(found), "patients", says, advice, examples)


def patients_two_ids(manifest: Manifest) -> Pitfall:
    """One radiograph under two patient ids."""
    found = double_patients(manifest)
    says = f"{len(found):,} radiographs are there under two or more patient ids."
    advice = "Ids of different sources name the same people; splits here join them through the shared radiograph."
    examples = tuple(str(row.patients) for row in found.head(EXAMPLES).itertuples())
    verdict = Verdict.WARN if len(found) else Verdict.PASS
    question = "Has each patient one id?"
    return Pitfall("patients-with-two-ids", question, verdict, len(found), "radiographs", says, advice, examples)


def one_source_per_class(manifest: Manifest) -> Pitfall:
    """How far the name of the source alone tells the class."""
    question = "Does the source alone tell the class?"
    advice = (
        "A network can learn the hospital instead of the disease. Test by leaving a whole source out, and call no test "
        "external in which class and source are the same thing."
    )
    if "source" not in manifest.table or manifest.table["source"].nunique() < 2:
        says = "There is one source, or none is named; how the classes differ by origin cannot be told."
        return Pitfall("one-source-per-class", question, Verdict.WARN, math.nan, "share guessed", says, advice)
    label, source = manifest.table["label"], manifest.table["source"]
    share, chance = guessed(label, source), float(label.value_counts(normalize=True).max())
    alone = told_by_source(manifest.table)
    worst = max(alone, key=lambda name: alone[name])
    says = (
        f"Who knows only the source names the class of {share:.0%} of the images (the largest class is {chance:.0%})."
    )
    says += f" Of the class {worst}, {alone[worst]:.0%} of the images are from sources that hold nearly nothing else."
    verdict = judged(max((share - chance) / max(1e-9, 1 - chance), alone[worst]), warn=0.1, fail=0.5)
    return Pitfall("one-source-per-class", question, verdict, share, "share guessed from the source", says, advice)


def told_by_source(table: pd.DataFrame) -> dict[str, float]:
    """For each label, the share of its images from sources of which it makes up at least 95 %."""
    counts = pd.crosstab(table["source"], table["label"])
    pure = counts.div(counts.sum(axis=1), axis=0) >= PURE
    return {str(label): float(counts[label][pure[label]].sum() / counts[label].sum()) for label in counts}


def associated(manifest: Manifest, column: str, values: pd.Series, *, what: str, fail: float = V_FAIL) -> Pitfall:
    """Cramer's V of the class and `values`."""
    v = cramers_v(manifest.table["label"], values)
    known = float((values != "").mean())
    says = f"Cramer's V of class and {what} is {v:.2f}, over the {known:.0%} of images where it is known."
    if values[values != ""].nunique() == 1 and known > 0.95:
        v, says = 0.0, f"Every image has the same {what}."
    elif math.isnan(v):
        says = (
            f"The {what} is known for {known:.0%} of the images, and not in two values of two classes: cannot be told."
        )
    advice = ADVICE.get(
        column, f"Report scores for each {what} by itself, or gather a set in which it does not differ."
    )
    question = f"Is the {what} the same in all classes?"
    verdict = judged(v, warn=V_WARN, fail=fail)
    return Pitfall(f"class-and-{column}", question, verdict, v, "Cramer's V", says, advice)


def associations(manifest: Manifest) -> list[Pitfall]:
    """Class against source, view, sex, age, picture size, file format, and children against adults.

    None for a set of one class; the size of the original file is asked only where the table has it.
    """
    asked = [row for row in ASKED if row[0] != "original-size" or {"width", "height"} <= set(manifest.table.columns)]
    if len(manifest.classes) < 2:
        return []
    return [associated(manifest, name, values(manifest.table), what=what) for name, what, values in asked]


def views(manifest: Manifest) -> Pitfall:
    """Rows that say themselves that they are not frontal."""
    stated = manifest.table.get("view", pd.Series("", index=manifest.table.index))
    side = manifest.table["image"][~stated.str.lower().isin(FRONTAL)]
    says = f"{len(side):,} images state a view that is not frontal; {(stated != '').mean():.0%} state one at all."
    advice = "Leave them out: --where view=PA,AP."
    verdict = Verdict.FAIL if len(side) else (Verdict.PASS if (stated != "").mean() > 0.95 else Verdict.WARN)
    question = "Are all images frontal by their own account?"
    return Pitfall("views", question, verdict, len(side), "images", says, advice, tuple(side.head(EXAMPLES)))


def licenses(manifest: Manifest) -> Pitfall:
    """Images that may not be used, or nobody knows."""
    texts = manifest.table.get("license", pd.Series("", index=manifest.table.index))
    kinds = texts.map(license_class).value_counts(normalize=True)
    unknown = float(kinds.get("unknown", 0.0))
    says = ", ".join(f"{kind} {share:.0%}" for kind, share in kinds.items()) + "."
    advice = "Index with --license-allow open (or noncommercial) before publishing a model."
    verdict = judged(unknown, warn=0, fail=1) if kinds.get("noncommercial", 0) == 0 else Verdict.WARN
    question = "May every image be used?"
    return Pitfall("licenses", question, verdict, unknown, "share with no clear licence", says, advice)


def metadata(manifest: Manifest) -> Pitfall:
    """Facts that are missing, and missing in one class more than in another."""
    names = ("patient_id", "source", "view", "age", "sex")
    table = manifest.table.reindex(columns=[*names, "label"], fill_value="")
    known = {name: float((table[name] != "").mean()) for name in names}
    tells = {name: cramers_v(table["label"], (table[name] != "").map({True: "known", False: "not"})) for name in names}
    worst = max((v for v in tells.values() if not math.isnan(v)), default=float("nan"))
    says = "Known: " + ", ".join(f"{name} {share:.0%}" for name, share in known.items()) + "."
    if not math.isnan(worst):
        says += f" Whether a fact is known at all tells the class: Cramer's V up to {worst:.2f}."
    advice = "Subgroup figures cover only the images that state the group; say how many."
    verdict = Verdict.WARN if min(known.values()) < 0.9 or worst > V_FAIL else Verdict.PASS
    question = "Are patient, source, view, age and sex stated?"
    return Pitfall("metadata", question, verdict, min(known.values()), "share known, least known", says, advice)


def age_band(table: pd.DataFrame) -> pd.Series:
    """`0-17`, `18-39`, `40-59`, `60-79`, `80+`, or "" where no age is stated."""
    names = ["0-17", "18-39", "40-59", "60-79", "80+"]
    bands = pd.cut(number_column(table, "age"), [0, 18, 40, 60, 80, 200], right=False, labels=names)
    return bands.astype(object).where(bands.notna(), "").astype(str)


def child(table: pd.DataFrame) -> pd.Series:
    """`child`, `adult`, or "" ; by age, else by a source that is known to be of children only."""
    age = number_column(table, "age")
    result = age.map(lambda years: "" if math.isnan(years) else ("child" if years < ADULT else "adult")).astype(object)
    source = table.get("source", pd.Series("", index=table.index))
    return result.where(~((result == "") & source.isin(PAEDIATRIC)), "child").astype(str)


def size(table: pd.DataFrame, *, width: str = "file_width", height: str = "file_height") -> pd.Series:
    """Area to half a power of two and aspect to a tenth, as text such as `17.5 1.2`; "" where not known."""
    pixels = number_column(table, width) * number_column(table, height)
    area = pixels.map(lambda n: f"{round(2 * math.log2(n)) / 2:g}" if n > 0 else "")
    aspect = (number_column(table, width) / number_column(table, height)).map(lambda ratio: f"{ratio:.1f}")
    return (area + " " + aspect).where(area != "", "")


def _column(name: str) -> Callable[[pd.DataFrame], pd.Series]:
    return lambda table: table.get(name, pd.Series("", index=table.index))


def _original_size(table: pd.DataFrame) -> pd.Series:
    return size(table, width="width", height="height")


ASKED: tuple[tuple[str, str, Callable[[pd.DataFrame], pd.Series]], ...] = (
    ("source", "source", _column("source")),
    ("view", "view", _column("view")),
    ("sex", "sex", _column("sex")),
    ("age", "age band", age_band),
    ("children", "age group (child or adult)", child),
    ("size", "picture size", size),
    ("original-size", "size of the original file", _original_size),
    ("format", "file format", lambda t: _column("file_format")(t) + _column("file_mode")(t)),
)
ADVICE = {
    "size": "Bring all images to one shape before training, and compare with the baseline of file facts.",
    "original-size": "Shape and sharpness of the originals stay visible after resizing: compare with the baselines.",
    "format": "Save all images anew in one format; what one encoder left behind may still tell.",
    "children": "Never let one class be children and another adults: the network learns the size of the chest.",
}
TABLE_CHECKS: tuple[Callable[[Manifest], Pitfall], ...] = (
    readable, class_counts, copies, copies_across_classes, patients_known, patients_two_classes, patients_two_ids,
    one_source_per_class, views, licenses, metadata,
)  # fmt: skip
