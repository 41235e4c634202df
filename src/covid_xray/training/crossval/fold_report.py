"""Write the Markdown page and the chart of a cross-validation: pooled, over folds, by source."""

from collections.abc import Mapping
from typing import Any

from matplotlib.figure import Figure
from matplotlib.ticker import PercentFormatter

from covid_xray.evaluation.report.claims import without_figures
from covid_xray.evaluation.report.figures import WIDTH, Theme, short
from covid_xray.evaluation.report.markdown import render_markdown

FIRST = ("accuracy", "balanced_accuracy", "macro_f1", "auroc_macro", "nll", "brier", "ece")
SHOWN = (("accuracy", "accuracy", "o"), ("macro_f1", "macro-F1", "s"))


def page(facts: Mapping[str, Any]) -> str:
    """Write the content of crossval.json as a page; `figures/` lies beside it."""
    names = [name for name in FIRST if name in facts["figures"]]
    names += [name for name in facts["figures"] if "/" in name]
    return render_markdown("crossval.md", f=facts, names=names, small=without_figures(facts["by_source"]))


def fold_chart(facts: Mapping[str, Any], theme: Theme) -> Figure:
    """Draw one row for each fold with its figures as marks; the bands are the 95 % intervals of all folds together."""
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
