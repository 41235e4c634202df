"""The figures of a cross-validation in, one Markdown page and one chart out: pooled, over folds, by source."""

from collections.abc import Mapping
from typing import Any

from matplotlib.figure import Figure
from matplotlib.ticker import PercentFormatter

from covid_xray.evaluation.report.figures import WIDTH, Theme, short

FIRST = ("accuracy", "balanced_accuracy", "macro_f1", "auroc_macro", "nll", "brier", "ece")


def page(facts: Mapping[str, Any]) -> str:
    """The content of crossval.json to read; `figures/` lies beside it."""
    patients = "" if facts["n_patients"] is None else f" of {facts['n_patients']:,} patients"
    lines = [
        f"# {_cell(facts['title'])}",
        "",
        "Research use, not for diagnosis. Every image was answered once, by the network that was not trained on it: "
        f"{facts['n_images']:,} images{patients}, {len(facts['failures']):,} without a score.",
        "",
        *([f"**{facts['banner']}**", ""] if facts["banner"] else []),
        *([f"**{facts['confounded']}**", ""] if facts["confounded"] else []),
        *(f"- {_cell(text)}" for text in facts["warnings"]),
        *([""] if facts["warnings"] else []),
        *_pooled(facts),
        "",
        *_folds(facts),
        "",
        *_sources(facts),
        "![figures of each fold](figures/folds.png)",
        "",
    ]
    return "\n".join(lines)


def show(figure: Mapping[str, Any]) -> str:
    """A figure with its interval, if it has one."""
    if figure["ci_low"] is None:
        return f"{figure['value']:.3f}"
    return f"{figure['value']:.3f} ({figure['ci_low']:.3f} to {figure['ci_high']:.3f})"


def _pooled(facts: Mapping[str, Any]) -> list[str]:
    unit = next(iter(facts["figures"].values()))["unit"]
    lines = [f"| figure | all folds together (95 % interval over {unit}) | mean ± sd over folds |", "|---|---|---|"]
    names = [name for name in FIRST if name in facts["figures"]]
    names += [name for name in facts["figures"] if "/" in name]
    for name in names:
        spread = facts["over_folds"].get(name)
        mean = f"{spread['mean']:.3f} ± {spread['sd']:.3f} ({spread['folds']})" if spread else ""
        lines.append(f"| {_cell(name)} | {show(facts['figures'][name])} | {mean} |")
    return lines


def _folds(facts: Mapping[str, Any]) -> list[str]:
    lines = [
        "| held out | scored | trained on | leaking | best epoch | accuracy | macro-F1 |",
        "|---|---|---|---|---|---|---|",
    ]
    for row in facts["folds"]:
        shown = [f"{row['figures'][name]:.3f}" if name in row["figures"] else "" for name in ("accuracy", "macro_f1")]
        cells = [row["scored"], row["images"]["train"], row["leaking"], row.get("best_epoch", row["problem"]), *shown]
        lines.append(f"| {_cell(row['name'])} | " + " | ".join(_cell(cell) for cell in cells) + " |")
    return lines


def _sources(facts: Mapping[str, Any]) -> list[str]:
    if not facts["by_source"]:
        return []
    lines = ["| source | images | accuracy | macro-F1 |", "|---|---|---|---|"]
    for name, row in facts["by_source"].items():
        found = row["figures"] or {}
        cells = [show(found[figure]) if figure in found else row["note"] for figure in ("accuracy", "macro_f1")]
        lines.append(f"| {_cell(name)} | {row['n_images']:,} | {cells[0]} | {cells[1]} |")
    worst = facts["worst_source"]
    if worst:
        lines += ["", f"Worst source by accuracy: {_cell(worst['name'])}, {show(worst)}, beside a mean of "
                  f"{worst['mean']:.3f} over {worst['groups']} sources."]  # fmt: skip
    return [*lines, ""]


def _cell(text: object) -> str:
    """Text that cannot break out of a table, or draw in a page."""
    plain = "".join(c if c.isprintable() else " " for c in str(text))
    return plain.replace("|", "\\|").replace("<", "&lt;")


SHOWN = (("accuracy", "accuracy", "o"), ("macro_f1", "macro-F1", "s"))


def fold_chart(facts: Mapping[str, Any], theme: Theme) -> Figure:
    """One row for each fold with its figures as marks; the bands are the 95 % intervals of all folds together."""
    rows = facts["folds"]
    figure = Figure(figsize=(WIDTH, 1.7 + 0.5 * max(2, len(rows))))
    axes = figure.subplots()
    for number, (name, label, marker) in enumerate(SHOWN):
        pooled, colour = facts["figures"].get(name), theme.series[number]
        if pooled and pooled["ci_low"] is not None:
            axes.axvspan(pooled["ci_low"], pooled["ci_high"], color=colour, alpha=0.13, linewidth=0)
        if pooled:
            axes.axvline(pooled["value"], color=colour, linewidth=1.5, linestyle=("-", "--")[number])
        known = [(row["figures"][name], place) for place, row in enumerate(rows) if name in row["figures"]]
        if known:
            values, places = zip(*known, strict=True)
            axes.scatter(values, places, color=colour, marker=marker, s=46, label=label, zorder=3)
    what = "" if facts["protocol"]["leave_out"] else "fold "
    axes.set_yticks(range(len(rows)), [f"{what}{short(row['name'], 22)}\nn = {row['scored']:,}" for row in rows])
    axes.set(ylim=(len(rows) - 0.5, -0.5), xlabel="marks: each fold; lines and bands: pooled, 95 % interval")
    axes.xaxis.set_major_formatter(PercentFormatter(1.0, decimals=0))
    axes.grid(axis="x", linewidth=0.6)
    if axes.get_legend_handles_labels()[0]:
        figure.legend(loc="outside upper right", ncols=2)
    return figure
