"""What `bundle.json` says of its clinical input in, the section of the report on it out; the warning in red first."""

from covid_xray.evaluation.report.sections import (
    Bullets,
    Cell,
    Facts,
    Section,
    Table,
    Text,
    cell,
    cells,
    counts,
    joined,
    whole,
)

ORDER = ("image", "clinical", "joint", "joint-permuted", "missingness", "joint-usual", "joint-missingness")


def clinical_input(facts: Facts) -> Section | None:
    """Fields, what they are worth, and whether missingness alone tells the class; `None` without a clinical input."""
    fusion = facts.get("fusion")
    if not fusion:
        return None
    worth = fusion.get("worth")
    blocks = joined(
        Text(worth["warning"], "alert") if worth and worth["warning"] else None,
        Text("The bundle also answers with what is known of the patient; the answer for the image alone stays."),
        Bullets(tuple(worth["lines"])) if worth else Text("What it is worth was not measured: covid-xray fuse does."),
        _worth(worth) if worth else None,
        _fields(fusion),
        Text(
            "Each row answers for patients that its models never saw. A field speaks only where training states it for "
            "20 patients of two classes, and only by its value: that it is filled in moves nothing.",
            "soft",
        ),
    )
    return Section("clinical", "With clinical values", blocks)


def _worth(worth: Facts) -> Table:
    found = worth["macro_f1"]
    rows = [(Cell(found[name]["sees"]), cell(found[name])) for name in ORDER if name in found]
    title = f"What was seen, on {whole(worth['images'])} images of {whole(worth['patients'])} patients"
    return Table(title, ("what was seen", "macro-F1"), tuple(rows))


def _fields(fusion: Facts) -> Table:
    rows = [
        cells(
            Cell(field["title"], field["unit"]), counts(field["patients"]),
            f"speaks about {', '.join(field['classes'])}" if field["used"] else "cannot change an answer",
        )
        for field in fusion["fields"]
        if field["used"] or any(field["patients"].values())
    ]  # fmt: skip
    return Table("Fields of the clinical input", ("field", "patients of training", "use"), tuple(rows), words=True)
