"""Build the report section on subgroups: the gaps of all attributes, then a table for each."""

from covid_xray.evaluation.report.results_sections import unit
from covid_xray.evaluation.report.sections import (
    NONE,
    Block,
    Cell,
    Charts,
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
    span,
    thousands,
)

AREAS = "auroc"


def subgroups(m: Facts, drawn: tuple[RenderedChart, ...]) -> Section | None:
    """Show the largest gap of each attribute and every group; `None` where metrics.json has no subgroups."""
    found = m.get("subgroups")
    if not found:
        return None
    known = {name: a for name, a in found["attributes"].items() if a["groups"]}
    absent = [a["title"] for a in found["attributes"].values() if not a["groups"]]
    blocks: list[Block] = [Text(_largest(known))]
    if known:
        blocks.append(_gaps(known))
    if absent:
        blocks.append(Text(f"The table says nothing of: {', '.join(absent)}.", "soft"))
    if drawn:
        blocks.append(Charts(drawn))
    blocks += [Fold(_title(a), (_groups(m, a),)) for a in known.values()]
    return Section("subgroups", "Subgroups", flatten(blocks, Text(_note(m, found), "soft")))


def figure_name(figure: str) -> str:
    """Format `sensitivity/covid` as `sensitivity, covid`."""
    if figure == "auroc_macro":
        return "AUROC, mean over classes"
    return figure.replace("auroc/", "AUROC/").replace("/", ", ")


def value(figure: str, number: float) -> str:
    """Format an AUROC as 0.912, a share as 91.2 %."""
    return decimal(number) if figure.startswith(AREAS) else percent(number)


def beyond_chance(gap: Facts) -> bool:
    """Tell whether the interval of a gap lies above 0."""
    return gap["ci_low"] is not None and gap["ci_low"] > 0


def _largest(known: Facts) -> str:
    gaps = {name: a["gap"] for name, a in known.items() if a["gap"]}
    if not gaps:
        return "No attribute has two groups that are large enough to be compared."
    sure = {name: gap for name, gap in gaps.items() if beyond_chance(gap)}
    chosen = sure or gaps
    name = max(chosen, key=lambda key: chosen[key]["value"])
    gap = chosen[name]
    text = (
        f"The largest gap{'' if sure else ' (none is beyond chance)'} is by {known[name]['title']}: "
        f"{figure_name(gap['figure'])} is {value(gap['figure'], gap['lowest']['value'])} for {gap['lowest']['group']} "
        f"and {value(gap['figure'], gap['highest']['value'])} for {gap['highest']['group']}."
    )
    return (
        text + " A gap may come from the source of the images or from who is in a group, not from the attribute itself."
    )


def _gaps(known: Facts) -> Table:
    head = ("attribute", "groups shown", "not stated", "figure with the largest gap", "lowest", "highest", "gap")
    rows = []
    for a in known.values():
        shown = sum(1 for group in a["groups"].values() if "hidden" not in group)
        hidden = len(a["groups"]) - shown
        text = f"{shown}" + (f", {hidden} hidden" if hidden else "")
        rows.append(cells(a["title"], text, thousands(a["not_stated"]), *_gap(a["gap"])))
    return Table("Largest gap of each attribute", head, tuple(rows))


def _gap(gap: Facts | None) -> tuple[Cell, ...]:
    if gap is None:
        return cells(NONE, NONE, NONE, "too few")
    figure, shares = gap["figure"], not gap["figure"].startswith(AREAS)
    ends = [Cell(value(figure, gap[end]["value"]), gap[end]["group"]) for end in ("lowest", "highest")]
    size = Cell(value(figure, gap["value"]), span(gap, as_percent=shares), "bad" if beyond_chance(gap) else "")
    return (Cell(figure_name(figure)), *ends, size)


def _title(attribute: Facts) -> str:
    names = ", ".join(attribute["groups"])
    title = attribute["title"]
    text = names if len(names) < 50 else f"{len(attribute['groups'])} groups"
    return f"{title[0].upper()}{title[1:]}: {text}"


def _groups(m: Facts, attribute: Facts) -> Table:
    """Return a row for each group and one for each class in it, narrow enough for a phone."""
    people = m["n_patients"] is not None
    head = ("group, class", "images", *(["patients"] if people else []), "sensitivity", "specificity", "AUROC")
    gap, rows = attribute["gap"] or {}, []
    for name, group in attribute["groups"].items():
        if "hidden" in group:
            blanks = ["" for _ in head[2:]]
            rows.append(cells(name, group["hidden"], *blanks))
            continue
        f, mark = group["figures"], _marks(gap, name)
        row = [Cell(name, mark="strong"), Cell(thousands(group["n_images"]))]
        row += [Cell(thousands(group["n_patients"]))] if people else []
        rows.append((*row, Cell(""), Cell(""), _area(f, "auroc_macro", mark, group)))
        for label, count in group["labels"].items():
            shares = [_share(f, f"{side}/{label}", mark) for side in ("sensitivity", "specificity")]
            blank = [Cell("")] if people else []
            rows.append(
                (
                    Cell(label, mark="inner"),
                    Cell(thousands(count)),
                    *blank,
                    *shares,
                    _area(f, f"auroc/{label}", mark, group),
                )
            )
    title = f"Figures by {attribute['title']}"
    return Table(title, head, tuple(rows))


def _marks(gap: Facts, group: str) -> dict[str, str]:
    """Mark the metric with the largest gap in its lowest and highest group."""
    ends = [end for end in ("lowest", "highest") if gap.get(end, {}).get("group") == group]
    return {gap["figure"]: "bad" if ends[0] == "lowest" else "good"} if ends else {}


def _share(f: Facts, name: str, mark: dict[str, str]) -> Cell:
    return cell(f.get(name), as_percent=True, missing="too few", mark=mark.get(name, ""))


def _area(f: Facts, name: str, mark: dict[str, str], group: Facts) -> Cell:
    alone = sum(1 for count in group["labels"].values() if count) < 2
    return cell(f.get(name), missing="one class" if alone else "too few", mark=mark.get(name, ""))


def _note(m: Facts, found: Facts) -> str:
    return (
        f"Groups under {found['smallest']} images are hidden, and no figure rests on fewer than {found['smallest']} "
        f"images of a class. Intervals: 95 %, bootstrap over {unit(m)}, the same draws for all groups; that of a gap "
        "holds for all figures and pairs of groups of its attribute at once, and the gap is marked where it lies above "
        "0. AUROC of a class: against the rest; of a group: the mean over classes. Image size: the square with as many "
        "pixels as the source's file where the table states it, else as the file read. Age in years."
    )
