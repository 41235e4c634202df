"""Build the report sections with the tables of classes, calibration, sources, sets, abstention, files and people."""

from collections.abc import Iterator
from typing import Any

from covid_xray.evaluation.metrics.subgroups import SMALLEST
from covid_xray.evaluation.report.claims import describe_overlap, parts_apart
from covid_xray.evaluation.report.sections import (
    NONE,
    Block,
    Cell,
    Charts,
    Code,
    Facts,
    Fold,
    RenderedChart,
    Section,
    Table,
    Text,
    cell,
    cells,
    decimal,
    flatten,
    percent,
    thousands,
)


def figures(m: Facts, drawn: tuple[RenderedChart, ...]) -> Section:
    """Show the metrics of each class, the curves below."""
    people = m["n_patients"] is not None
    head = ("class", "images", *(["patients"] if people else []))
    head += ("sensitivity", "specificity", "precision", "F1", "AUROC", "AUPRC")
    rows = [_of_class(m, name, n, people=people) for name, n in m["labels"].items()]
    note = (
        f"Small figures: 95 % intervals over {unit(m)}. Precision depends on how common each class is in this test "
        f"set; in another population it is another figure. {NONE} means undefined here."
    )
    table = Table("Figures of each class", head, tuple(rows))
    return Section("classes", "Each class", flatten(table, Text(note, "soft"), Charts(drawn) if drawn else None))


def unit(m: Facts) -> str:
    """Return what the bootstrap resampled: patients or images."""
    return "patients" if m["n_patients"] is not None else "images"


def confusion(m: Facts, text: str, drawn: tuple[RenderedChart, ...]) -> Section:
    """Show counts of true against predicted class, and scikit-learn's report."""
    head = ("true class", *(f"said {name}" for name in m["classes"]), "all")
    rows = [
        cells(name, *(thousands(n) for n in row), thousands(sum(row)))
        for name, row in zip(m["classes"], m["confusion_matrix"]["counts"], strict=True)
    ]
    blocks = flatten(Table("True against predicted class", head, tuple(rows)), Charts(drawn) if drawn else None,
                    Fold("Classification report (scikit-learn)", (Code(text),)))  # fmt: skip
    return Section("confusion", "Right and wrong", blocks)


def calibration(m: Facts, drawn: tuple[RenderedChart, ...], *, fitted: Facts | None = None) -> Section:
    """Show the calibration measures, before and after the temperature; `fitted` is what bundle.json says of it."""
    f = m["figures"]
    c: Any = m.get("calibration")
    scaled = bool(c) and c["temperature"] != 1
    rows = []
    names = (
        ("ece", "ECE, equal bins"),
        ("ece_adaptive", "ECE, bins of equal size"),
        ("brier", "Brier"),
        ("nll", "NLL"),
    )
    for key, title in names:
        now = cell(f.get(key)) if key in f else Cell(decimal(c["after"][key] if c else None))
        rows.append((Cell(title), now, *([Cell(decimal(c["before"][key]))] if c and scaled else [])))
    head = ("measure", "in use", *(["without the temperature"] if scaled else []))
    text = _temperature(m, fitted) if scaled else "No temperature is in use; covid-xray calibrate fits one."
    note = (
        f"ECE: mean distance between confidence and accuracy, {m['settings']['ece_bins']} bins (chance raises it, so "
        "its interval is biased upwards). Brier is summed over the classes, 0 to 2; NLL in natural logarithm. Lower is "
        "better for all."
    )
    blocks = flatten(Text(text), Table("Calibration", head, tuple(rows)), Text(note, "soft"),
                    Charts(drawn) if drawn else None)  # fmt: skip
    return Section("calibration", "Can the probabilities be believed?", blocks)


def _temperature(m: Facts, fitted: Facts | None) -> str:
    value = f"A temperature of {m['calibration']['temperature']:.3f} is in use"
    if not fitted:
        return f"{value}; on which images it was fitted is not recorded."
    return (
        f"{value}, fitted on {thousands(fitted['images'])} images of the {fitted['part']} part, "
        f"{describe_overlap(m, fitted['part'])}."
    )


def sources(m: Facts, drawn: tuple[RenderedChart, ...]) -> Section:
    """Show the metrics by source."""
    if not m["by_source"]:
        text = "The table names no source, so differences between sources are unknown."
        return Section("sources", "Each source", (Text(text),))
    people = m["n_patients"] is not None
    head = ("source", "images", *(["patients"] if people else []), "accuracy")
    head += tuple(f"sensitivity {name}" for name in m["classes"])
    rows = [_of_source(m, name, facts, people=people) for name, facts in m["by_source"].items()]
    v = m["confounding"]["cramers_v"]
    note = f"Groups under {SMALLEST} images have no figures, because chance would dominate them."
    if v is not None:
        note += f" Cramer's V of class and source is {v:.2f} (0: unrelated, 1: the source gives the class away)."
    return Section("sources", "Each source", flatten(Table("Figures of each source", head, tuple(rows)),
                                                    Text(note, "soft"), Charts(drawn) if drawn else None))  # fmt: skip


def prediction_sets(m: Facts) -> Section | None:
    """Show the coverage of the prediction sets, where the bundle has them."""
    found = m.get("conformal")
    if not found:
        text = "The bundle has none: covid-xray calibrate fits them."
        return Section("sets", "Sets of classes", (Text(text),))
    head = ("method, promised", "images", "held the truth", "expected", "classes in a set", "one class only")
    note = (
        f"Conformal prediction, fitted on {thousands(found['images'])} images of the {found['part']} part, "
        f"{describe_overlap(m, found['part'])}. A set of "
        'more than one class is answered "cannot say". Expected: the range of 95 of 100 such tests if the images are '
        "like those it was fitted on; * lies outside. The guarantee is for all images together, not for each class or "
        f"source; those under {SMALLEST} images are not shown."
    )
    return Section("sets", "Sets of classes", (Table("Coverage of the sets", head, tuple(_sets(found))),
                                               Text(note, "soft")))  # fmt: skip


def abstention(m: Facts, facts: Facts) -> Section:
    """Show how many images would not be answered, why, and what the gate of the bundle refuses."""
    found, gate = m["abstention"], facts.get("gate")
    share = found["withheld"] / m["n_images"]
    few = f"{thousands(found['withheld'])} of {thousands(m['n_images'])} images ({percent(share)})"
    text = f'{few} would be answered "cannot say".'
    rates = [
        cells(f"right of those {name}", cell(figure, as_percent=True)) for name, figure in found["accuracy"].items()
    ]
    rates += [
        cells(f"withheld of {name}", cell(figure, as_percent=True))
        for kind in ("label", "source")
        for name, figure in found["rates"][kind].items()
    ]
    why = [cells(reason, thousands(count)) for reason, count in found["reasons"].items()]
    blocks = flatten(
        Text(text), _gate(gate),
        Table("Why", ("reason (an image may have several)", "images"), tuple(why)) if why else None,
        Table("Shares", ("share", "value"), tuple(rates)) if found["withheld"] else None,
    )  # fmt: skip
    return Section("gate", "What it would not answer", blocks)


def _gate(gate: Facts | None) -> Text:
    if not gate:
        return Text("The bundle has no gate for images of another kind: covid-xray calibrate fits one.")
    shares = [f"{percent(share)} ({name})" for name, share in gate["refused"].items() if share is not None]
    return Text(
        f"The gate checks whether an image is a frontal chest X-ray like the training images. Fitted on "
        f"{thousands(gate['images']['train'])} training images, it refuses {' and '.join(shares)} of good images; the "
        f"limit is {percent(gate['rate'])}. These images do not show how many bad ones it finds."
    )


def files(m: Facts, *, listed: int) -> Section:
    """Show which files got no score, and which were refused before."""
    blocks: list[Block] = []
    if m["failures"]:
        count = len(m["failures"])
        blocks.append(
            Text(f"{thousands(count)} image{'' if count == 1 else 's'} could not be scored and count in no figure.")
        )
        blocks += _listed("Files without a score", m["failures"], "message", listed)
    else:
        blocks.append(Text(f"Each of the {thousands(m['n_images'])} images that were to be scored got a score."))
    if m["quarantined"]:
        count = len(m["quarantined"])
        title = f"Refused before the test: {thousands(count)} image{'' if count == 1 else 's'} of the data set"
        blocks.append(Fold(title, tuple(_listed("Refused files", m["quarantined"], "reason", listed))))
    return Section("files", "Files without a score", tuple(blocks))


def people(m: Facts) -> Section | None:
    """Show the people in each part of the data set; `None` where there is no split."""
    parts = (m.get("run") or {}).get("parts")
    if not parts:
        return None
    head = ("part", "images", "patients", "classes", "sources", "sex", "age")
    rows = [
        cells(name, thousands(p["images"]), NONE if p["patients"] is None else thousands(p["patients"]),
              _named(p["labels"]), _named(p["sources"]), _named(p["sex"]), _age(p["age"]))
        for name, p in parts.items()
    ]  # fmt: skip
    text = parts_apart(m["run"])
    note = (
        "An image of an unknown patient counts as a patient. Sex and age of those of whom the table states them; age: "
        f"median (quartiles). Counts under {SMALLEST} are hidden."
    )
    table = Table("Images and people of each part", head, tuple(rows), words=True)
    return Section("people", "Patients and images", flatten(table, Text(text) if text else None, Text(note, "soft")))


def _of_class(m: Facts, name: str, n: Facts, *, people: bool) -> tuple[Cell, ...]:
    f = m["figures"]
    shares = [cell(f.get(f"{kind}/{name}"), as_percent=True) for kind in ("sensitivity", "specificity", "precision")]
    others = [cell(f.get(f"{kind}/{name}")) for kind in ("f1", "auroc", "auprc")]
    return cells(name, thousands(n["images"]), *([thousands(n["patients"])] if people else []), *shares, *others)


def _of_source(m: Facts, name: str, facts: Facts, *, people: bool) -> tuple[Cell, ...]:
    found = facts["figures"] or {}
    worst = (m["worst_source"] or {}).get("name") == name
    row = [Cell(name), Cell(thousands(facts["n_images"])), *([Cell(thousands(facts["n_patients"]))] if people else [])]
    row.append(cell(found.get("accuracy"), as_percent=True, missing="too few", mark="bad" if worst else ""))
    for label in m["classes"]:
        count = facts["labels"][label]
        text = cell(found.get(f"sensitivity/{label}"), as_percent=True, missing="too few")
        small = f"{text.small}\nn = {thousands(count)}".strip()
        row.append(Cell(text.text, small) if count else Cell("none"))
    return tuple(row)


def _sets(found: Facts) -> Iterator[tuple[Cell, ...]]:
    for row in found["rows"]:
        used = row["method"] == found["method"] and row["coverage"] == found["coverage"]
        if row["method"] != found["method"] and row["coverage"] != found["coverage"]:
            continue
        name = f"{row['method'].upper()} {percent(row['coverage'])}"
        yield _set(name + (", in use" if used else ""), row["overall"])
        if used:
            for key in ("by_class", "by_source"):
                for part, facts in sorted(row[key].items()):
                    if facts["images"] >= SMALLEST:
                        yield _set(f"{name}, {part}", facts)


def _set(name: str, facts: Facts) -> tuple[Cell, ...]:
    held = Cell(percent(facts["covered"]) + ("" if facts["inside"] else " *"), mark="" if facts["inside"] else "bad")
    low, high = facts["band"]
    return cells(name, thousands(facts["images"]), held, f"{percent(low)} to {percent(high)}",
                 f"{facts['mean_size']:.2f}", percent(facts["single"]))  # fmt: skip


def _listed(caption: str, rows: list[Facts], reason: str, listed: int) -> list[Block]:
    shown = tuple(cells(row["image"], row["code"], row[reason]) for row in rows[:listed])
    table = Table(caption, ("file", "code", "reason"), shown, words=True)
    more = len(rows) - listed
    return [table, Text(f"and {thousands(more)} more.", "soft")] if more > 0 else [table]


def _named(values: Facts) -> str:
    return (
        ", ".join(f"{name} {'<' + str(SMALLEST) if n is None else thousands(n)}" for name, n in values.items()) or NONE
    )


def _age(ages: Facts | None) -> str:
    if ages is None:
        return NONE
    quartiles = f"{ages['quartile_1']:.0f} to {ages['quartile_3']:.0f}"
    return f"{ages['median']:.0f} ({quartiles}), stated for {thousands(ages['stated'])}"
