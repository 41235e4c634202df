"""The content of metrics.json and bundle.json in, the last sections of the report out: cases, limits, settings."""

from typing import Any

from covid_xray.evaluation.report.cases import RULE, Case
from covid_xray.evaluation.report.results_sections import unit
from covid_xray.evaluation.report.sections import (
    Bullets,
    Cases,
    Charts,
    Drawn,
    Facts,
    Pairs,
    Section,
    Text,
    counts,
    joined,
    whole,
)

LIMITS = (
    "Research use, not for diagnosis. No regulator has looked at this network.",
    "A heat map is not a localisation.",
    "These figures hold for images like those tested. On images from another hospital they may fall to chance.",
    "The labels are those of the data set; some are wrong.",
    "The probabilities hold for the mix of classes of this data set, not for a waiting room.",
)


def cases(shown: tuple[Case, ...]) -> Section | None:
    """The grid of right and wrong answers; `None` when there is none."""
    if not shown:
        return None
    told = f"{RULE} Left: the radiograph. Right: the same with the Grad-CAM map of the class that the network named."
    strong = "A heat map is not a localisation: it shows what moved the score, not where a disease is."
    return Section("cases", "Worst and best cases", (Text(told), Text(strong, "strong"), Cases(shown)))


def limits() -> Section:
    """What no figure here can say."""
    return Section("limits", "Limits", (Bullets(LIMITS),))


def model(m: Facts, facts: Facts, drawn: tuple[Drawn, ...] = ()) -> Section:
    """Which network, trained on what, measured how."""
    rows: list[tuple[str, Any]] = [
        ("Network", f"{m['model']['name']} {m['model']['version']}"),
        ("SHA-256", m["model"]["sha256"]),
        *_network(facts),
        *_training(facts.get("training_data") or {}),
        ("Intervals", intervals(m)),
        *_made(m),
    ]
    pairs = Pairs(tuple((name, str(text)) for name, text in rows))
    return Section("model", "Model and settings", joined(pairs, Charts(drawn) if drawn else None))


def intervals(m: Facts) -> str:
    """How the intervals were made."""
    s = m["settings"]
    return (
        f"95 %, percentile bootstrap, {whole(s['rounds'])} rounds over {unit(m)}, seed {s['seed']}; for a proportion "
        "of exactly 0 or 1 Clopper-Pearson"
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
        told = f"{value:.4g}" if isinstance(value, int | float) else value  # of a bundle that others wrote: as it is
        rows.append(("Temperature", f"{told}{' (not fitted)' if value == 1 else ''}"))
    return rows


def _training(trained: Facts) -> list[tuple[str, Any]]:
    rows: list[tuple[str, Any]] = [(f"Images, {part}", counts(n)) for part, n in (trained.get("images") or {}).items()]
    for key, title in (("source", "Trained on"), ("license", "Licences of those")):
        if trained.get(key):
            told = ", ".join(f"{name or 'not stated'} ({whole(n)})" for name, n in trained[key].items())
            rows.append((title, told))
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
