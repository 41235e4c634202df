"""Build the report sections on thresholds, baselines, audit, prevalence and decision curves.

A section without data says which command produces them, or is left out.
"""

from collections.abc import Mapping

from covid_xray.evaluation.report.claims import describe_overlap
from covid_xray.evaluation.report.sections import (
    NONE,
    Block,
    Bullets,
    Cell,
    Charts,
    Facts,
    Fold,
    RenderedChart,
    Section,
    Table,
    Text,
    audit_of,
    cell,
    cells,
    decimal,
    flatten,
    percent,
    thousands,
    with_span,
)

LOCALISATION = "A heat map is not a localisation: it shows what moved the score, not where disease is."
MOVED = {"accuracy": "accuracy", "balanced_accuracy": "balanced accuracy", "macro_f1": "macro-F1", "nll": "NLL",
         "brier": "Brier", "ece": "ECE"}  # fmt: skip
AIMS = {"rule-out": "speaks against the class", "balanced": "highest sum of both", "rule-in": "speaks for the class"}


def operating_points(m: Facts) -> Section:
    """Show what the thresholds of the bundle achieve on the tested images."""
    found = m.get("operating_points")
    title = "Operating points"
    if not found:
        text = "The bundle has none: covid-xray calibrate chooses them."
        return Section("points", title, (Text(text),))
    blocks: list[Block] = []
    for name, facts in found.items():
        chosen = facts["chosen_on"]
        blocks.append(
            Text(
                f"{name} against the rest. The thresholds on its probability were chosen on "
                f"{thousands(chosen['images'])} images of the {chosen['part']} part, "
                f"{describe_overlap(m, chosen['part'])}. Tested: {thousands(facts['positives'])} {name}, "
                f"{thousands(facts['negatives'])} others."
            )
        )
        blocks.append(_points(name, facts))
        blocks += _by_prevalence(name, facts)
        if any(point.get("by_source") for point in facts["points"].values()):
            blocks.append(Fold(f"The points of {name} on each source", (_points_by_source(name, facts),)))
    return Section("points", title, tuple(blocks))


def baselines(m: Facts) -> Section | None:
    """Show the network beside plain models without lungs; `None` where none were measured."""
    found = m["baselines"]
    if not found:
        return None
    rows = [cells("this network", "seen", cell(m["figures"]["macro_f1"]))]
    for row in found["rows"]:
        lungs = "hidden" if row["without_lungs"] else "seen"
        rows.append((Cell(row["name"], row["sees"]), Cell(lungs), cell(row["figures"]["macro_f1"])))
    note = (
        f"Plain models (extra-trees, grouped cross-validation) on {thousands(found['images'])} images; the network on "
        f"the {thousands(m['n_images'])} scored here. A network can reach the score of the models without lungs by "
        "shortcuts alone."
    )
    table = Table("Scores with and without the lungs", ("what was seen", "lungs", "macro-F1"), tuple(rows))
    return Section("baselines", "Without the lungs", (table, Text(note, "soft")))


def audit(m: Facts) -> Section:
    """Show the shortcut audit, where the run has one of this network."""
    found, title = audit_of(m), "Shortcut audit"
    if not found:
        text = "Not run: covid-xray audit says how much of the score survives with only the lungs, and without."
        return Section("audit", title, (Text(text),))
    verdict = found["verdict"]
    means = [Text(verdict["means"])] if verdict["means"] != verdict["line"] else []
    blocks = flatten(Text(verdict["line"], "strong"), means, _hidden(found), _probe(found), _left_out(found),
                    Bullets(tuple(found["notes"])) if found["notes"] else None)  # fmt: skip
    return Section("audit", title, blocks)


def saliency(m: Facts) -> Section | None:
    """Show whether the heat maps mean anything; `None` where the audit did not test them."""
    found = (audit_of(m) or {}).get("heatmaps")
    if not found:
        return None
    cascade = found["cascade"]
    steps = [cells(f"down to {row['layer']}", cell(row["spearman"]), cell(row["ssim"])) for row in cascade["steps"]]
    floor = cascade["unrelated"]
    steps.append(cells("maps of two different images", cell(floor["spearman"]), cell(floor["ssim"])))
    methods = [
        cells(row["shows"], *(cell(row[key]) for key in ("lung_ratio", "insertion", "deletion")))
        for row in found["methods"]
    ]
    seeds = found["seeds"]
    agree = None if not seeds else Text(
        f"Agreement of {seeds['networks']} networks: Spearman {with_span(seeds['spearman'])}, SSIM "
        f"{with_span(seeds['ssim'])}."
    )  # fmt: skip
    blocks = flatten(
        Text(LOCALISATION, "strong"),
        Text(f"{thousands(found['images'])} images. Layers made random from the output down: {cascade['line']}"),
        Table("Likeness to the maps of the trained network", ("made random", "Spearman", "SSIM"), tuple(steps)),
        Table("Kinds of maps", ("map", "mass in the lungs / their share", "insertion (more is better)",
              "deletion (less)"), tuple(methods)),
        Text(found["faithful"]), agree,
    )  # fmt: skip
    return Section("saliency", "Do the heat maps mean anything?", blocks)


def _points(name: str, facts: Facts) -> Table:
    head = ("point", "threshold", "sensitivity", "specificity", "PPV", "NPV", f"called {name}")
    rows = []
    for point, p in facts["points"].items():
        aim = Cell(point, _aim(point, p["target"]))
        if p["threshold"] is None:
            rows.append((aim, Cell("none", p["reason"]), *cells(*[NONE] * 5)))
            continue
        shares = [cell(p.get(side), as_percent=True, mark=_missed(p, side)) for side in ("sensitivity", "specificity")]
        values = [cell(p.get(side), as_percent=True) for side in ("ppv", "npv")]
        rows.append((aim, Cell(decimal(p["threshold"])), *shares, *values, Cell(thousands(p["called"]))))
    return Table(f"Operating points of {name}", head, tuple(rows))


def _aim(point: str, target: Mapping[str, float | str]) -> str:
    side, least = next(iter(target.items()))
    demand = f"{side} of {least:g} or more" if isinstance(least, int | float) else AIMS[point]
    return demand if point == "balanced" else f"{AIMS[point]}; {demand}"


def _missed(point: Facts, side: str) -> str:
    """Mark a rate below its target."""
    least = point["target"].get(side)
    return "bad" if least is not None and side in point and point[side]["value"] < least else ""


def _by_prevalence(name: str, facts: Facts) -> list[Block]:
    """Show PPV and NPV at other prevalences than that of the tested images."""
    points = {point: p["by_prevalence"] for point, p in facts["points"].items() if p.get("by_prevalence")}
    if not points:
        return []
    head = ("prevalence", *(f"{side}, {point}" for point in points for side in ("PPV", "NPV")))
    shares = [row["prevalence"] for row in next(iter(points.values()))]
    rows = [
        (
            Cell(percent(share)),
            *(cell(rows[place][side], as_percent=True) for rows in points.values() for side in ("ppv", "npv")),
        )
        for place, share in enumerate(shares)
    ]
    text = f"Predictive values depend on the prevalence of {name}. Where only the prevalence differs, they are:"
    return [Text(text), Table(f"Predictive values by prevalence of {name}", head, tuple(rows))]


def _points_by_source(name: str, facts: Facts) -> Table:
    head = ("point, source", "images", "sensitivity", "specificity")
    rows = [
        cells(f"{point}, {source}", thousands(row["positives"] + row["negatives"]),
              *(cell(row.get(side), as_percent=True, missing="too few") for side in ("sensitivity", "specificity")))
        for point, p in facts["points"].items()
        for source, row in p.get("by_source", {}).items()
    ]  # fmt: skip
    return Table(f"Operating points of {name} on each source", head, tuple(rows))


def _hidden(found: Facts) -> list[Block]:
    scores = [name for name in ("auroc_macro", "macro_f1") if name in found["chance"]]
    titles = {"auroc_macro": "AUROC", "macro_f1": "macro-F1"}
    rows = []
    for row in found["conditions"]:
        kept = row["retained"].get("auroc_macro")
        rows.append(cells(row["shows"], *(cell(row["figures"].get(name)) for name in scores),
                          cell(kept, as_percent=True) if kept else NONE))  # fmt: skip
    rows.append(cells("chance", *(decimal(found["chance"][name]) for name in scores), "0 %"))
    masks = found["masks"]
    text = (
        f"{thousands(found['images'])} images of the {found['part']} part. The lungs are {masks['says']}. Survives: "
        "the share of the AUROC above chance."
    )
    head = ("visible", *(titles[name] for name in scores), "survives")
    return [Text(text, "soft"), Table("What survives when parts are hidden", head, tuple(rows))]


def _probe(found: Facts) -> list[Block]:
    probe = found["source_from_embedding"]
    if not probe["classes"]:
        return []
    rows = [
        cells(label, thousands(row["images"]), cell(row["balanced_accuracy"]), decimal(row["chance"]))
        for label, row in probe["classes"].items()
    ]
    text = (
        "The source, predicted from the network's embedding within one class: the disease is the same there, so what "
        "distinguishes the sources is not disease."
    )
    return [
        Text(text),
        Table("Source from the embedding", ("class", "images", "balanced accuracy", "chance"), tuple(rows)),
    ]


def _left_out(found: Facts) -> list[Block]:
    held = found["sources_left_out"]
    if not held:
        return []
    rows = [
        cells(row["source"], thousands(row["images"]), cell(row["accuracy"], as_percent=True, missing="too few"))
        for row in held["rows"]
    ]
    pooled = held["figures"].get("macro_f1")
    text = f"Networks trained without a source (--crossval), on that source: macro-F1 {with_span(pooled)} over all."
    return [Text(text), Table("Sources left out of training", ("source left out", "images", "accuracy"), tuple(rows))]


def prevalence(m: Facts, drawn: tuple[RenderedChart, ...]) -> Section | None:
    """Show the metrics in the stated population; `None` where none was stated."""
    found = m.get("prevalence")
    if not found:
        return None
    names = m["classes"]
    mixes = [
        cells(title, *(percent(found[key].get(name)) for name in names))
        for key, title in (("stated", "stated"), ("calibrated_for", "calibrated for"), ("tested", "tested"))
    ]
    measures = [
        cells(title, cell(found["figures"].get(key)), decimal(found["as_they_are"].get(key)))
        for key, title in MOVED.items()
    ]
    shares = ", ".join(f"{percent(found['stated'].get(name))} {name}" for name in names)
    text = (
        f"In a population of {shares}, where each class looks as it does here. The probabilities are adapted to that "
        f"mix; they were calibrated for that of {found['calibrated_for_means']}."
    )
    blocks = flatten(
        Text(text), Table("Shares of the classes", ("mix", *names), tuple(mixes)),
        Table("Figures there", ("figure", "probabilities adapted", "as they are"), tuple(measures)),
        Charts(drawn) if drawn else None,
    )  # fmt: skip
    return Section("prevalence", "In a stated population", blocks)


def decision(m: Facts, drawn: tuple[RenderedChart, ...]) -> Section | None:
    """Show where acting on the probability is better than treating all or none."""
    found = {name: facts for name, facts in (m.get("decision_curve") or {}).items() if facts}
    if not found:
        return None
    text = []
    for name, facts in found.items():
        ranges = ", ".join(f"{low:.2f} to {high:.2f}" for low, high in facts["useful"])
        where = f"thresholds {ranges}" if ranges else "no threshold"
        text.append(
            f"{name} (prevalence {percent(facts['prevalence'])}): the whole interval is better than both at {where}."
        )
    note = (
        "Net benefit (Vickers and Elkin 2006): acting at a probability of 0.1 accepts nine needless actions to catch "
        "one case. At the prevalence of the images tested, which may differ from that of a clinic."
    )
    blocks = flatten(Text("Compared with treating everybody and treating nobody as the class:"), Bullets(tuple(text)),
                    Charts(drawn) if drawn else None, Text(note, "soft"))  # fmt: skip
    return Section("decision", "Decision curve", blocks)
