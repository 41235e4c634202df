"""Build the report sections on cases, limits, model, settings and clinical input."""

from typing import Any

from covid_xray.evaluation.report.cases import RULE, Case
from covid_xray.evaluation.report.results_sections import unit
from covid_xray.evaluation.report.sections import (
    Bullets,
    Cases,
    Cell,
    Charts,
    Facts,
    Pairs,
    RenderedChart,
    Section,
    Table,
    Text,
    cell,
    cells,
    counts,
    flatten,
    thousands,
)

LIMITS = (
    "Research use, not for diagnosis. No regulator has reviewed this network.",
    "A heat map is not a localisation.",
    "These figures hold for images like those tested. On images from another hospital they may fall to chance.",
    "The labels are those of the data set; some may be wrong.",
    "The probabilities hold for the mix of classes that they were fitted on, not for a waiting room.",
)
ORDER = ("image", "clinical", "joint", "joint-permuted", "missingness", "joint-usual", "joint-missingness")


def cases(shown: tuple[Case, ...]) -> Section | None:
    """Show the grid of right and wrong answers; `None` without cases."""
    if not shown:
        return None
    text = f"{RULE} Left: the radiograph. Right: the same with the Grad-CAM map of the predicted class."
    strong = "A heat map is not a localisation: it shows what moved the score, not where a disease is."
    return Section("cases", "Worst and best cases", (Text(text), Text(strong, "strong"), Cases(shown)))


def limits() -> Section:
    """State what no figure of the report can show."""
    return Section("limits", "Limits", (Bullets(LIMITS),))


def model(m: Facts, facts: Facts, drawn: tuple[RenderedChart, ...] = ()) -> Section:
    """Show the network, its training data and the settings."""
    rows: list[tuple[str, Any]] = [
        ("Network", f"{m['model']['name']} {m['model']['version']}"),
        ("SHA-256", m["model"]["sha256"]),
        *_network(facts),
        *_training(facts.get("training_data") or {}),
        ("Intervals", intervals(m)),
        *_made(m),
    ]
    pairs = Pairs(tuple((name, str(text)) for name, text in rows))
    return Section("model", "Model and settings", flatten(pairs, Charts(drawn) if drawn else None))


def intervals(m: Facts) -> str:
    """Describe how the intervals were made."""
    s = m["settings"]
    return (
        f"95 %, percentile bootstrap, {thousands(s['rounds'])} rounds over {unit(m)}, seed {s['seed']}; for a "
        "proportion of exactly 0 or 1 Clopper-Pearson"
    )


def _network(facts: Facts) -> list[tuple[str, Any]]:
    rows: list[tuple[str, Any]] = []
    about = facts.get("input")
    if about:
        rows.append(
            ("Input", f"{about['height']} x {about['width']} grey pixels; {about.get('resize', '')}".rstrip("; "))
        )
    if "temperature" in facts:
        value = facts["temperature"]
        text = f"{value:.4g}" if isinstance(value, int | float) else value  # of a bundle that others wrote: as it is
        rows.append(("Temperature", f"{text}{'' if facts.get('calibration') or value != 1 else ' (not fitted)'}"))
    return rows


def _training(trained: Facts) -> list[tuple[str, Any]]:
    rows: list[tuple[str, Any]] = [(f"Images, {part}", counts(n)) for part, n in (trained.get("images") or {}).items()]
    for key, title in (("source", "Trained on"), ("license", "Licences of those")):
        if trained.get(key):
            text = ", ".join(f"{name or 'not stated'} ({thousands(n)})" for name, n in trained[key].items())
            rows.append((title, text))
    if trained.get("fingerprint"):
        rows.append(("Data fingerprint", trained["fingerprint"]))
    return rows


def _made(m: Facts) -> list[tuple[str, Any]]:
    made = (m.get("run") or {}).get("made")
    if not made:
        return []
    rows: list[tuple[str, Any]] = []
    if "machine" in made:
        seconds = f"; {made['seconds'] / 60:.0f} minutes" if "seconds" in made else ""
        precision = f", {made['precision']}" if "precision" in made else ""
        rows.append(
            ("Trained with", f"{made['machine']['processor']}, {made['machine']['cores']} cores{precision}{seconds}")
        )
    if "packages" in made:
        rows.append(("Packages", ", ".join(f"{name} {version}" for name, version in made["packages"].items())))
    return rows


def clinical_input(facts: Facts) -> Section | None:
    """Show the clinical fields and their added value, the warning about missingness first; `None` without them."""
    fusion = facts.get("fusion")
    if not fusion:
        return None
    worth = fusion.get("worth")
    blocks = flatten(
        Text(worth["warning"], "alert") if worth and worth["warning"] else None,
        Text("The bundle can also use clinical values of the patient; its answer for the image alone does not change."),
        Bullets(tuple(worth["lines"])) if worth else Text("Their value was not measured: covid-xray fuse measures it."),
        _worth(worth) if worth else None,
        _fields(fusion),
        Text(
            "Each row is measured on patients that its models were not trained on. A field is used only where training "
            "states it for 20 patients of two classes, and only by its value: that it is stated has no effect.",
            "soft",
        ),
    )
    return Section("clinical", "With clinical values", blocks)


def _worth(worth: Facts) -> Table:
    found = worth["macro_f1"]
    rows = [(Cell(found[name]["sees"]), cell(found[name])) for name in ORDER if name in found]
    title = f"Input of the model, on {thousands(worth['images'])} images of {thousands(worth['patients'])} patients"
    return Table(title, ("input", "macro-F1"), tuple(rows))


def _fields(fusion: Facts) -> Table:
    rows = [
        cells(
            Cell(field["title"], field["unit"]), counts(field["patients"]),
            f"used for {', '.join(field['classes'])}" if field["used"] else "cannot change an answer",
        )
        for field in fusion["fields"]
        if field["used"] or any(field["patients"].values())
    ]  # fmt: skip
    return Table("Fields of the clinical input", ("field", "patients of training", "use"), tuple(rows), words=True)
