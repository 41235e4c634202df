"""Choose and draw the charts of the report."""

from functools import partial

import numpy as np
import pandas as pd
from matplotlib.figure import Figure

from covid_xray.evaluation.predictions import Predictions
from covid_xray.evaluation.report.figures import (
    WIDTH,
    Chart,
    Facts,
    Theme,
    by_source,
    confusion_matrix,
    precision_recall,
    reliability,
    roc,
    short,
    training_curves,
)
from covid_xray.evaluation.report.subgroup_section import figure_name

ALT = "Net benefit against the threshold: the network with its band, treating everybody, treating nobody"


def charts(predictions: Predictions, metrics: Facts, history: pd.DataFrame | None) -> list[Chart]:
    """Return the charts that these results allow, in the order of the report.

    Args:
        predictions: scored images.
        metrics: content of metrics.json.
        history: rows of history.csv, or `None`.
    """
    figures = metrics["figures"]
    found = [
        Chart("confusion_matrix", "Confusion matrix", "Counts and row percentages of true against predicted class",
              lambda theme: confusion_matrix(metrics, theme)),
        Chart("reliability", "Reliability", "Share of right answers against the probability given, with a diagonal",
              lambda theme: reliability(predictions, figures, theme)),
    ]  # fmt: skip
    if any(name.startswith("auroc/") for name in figures):
        found[1:1] = [
            Chart("roc", "ROC, one class against the rest", "Sensitivity against false alarms for each class",
                  lambda theme: roc(predictions, metrics, theme)),
            Chart("precision_recall", "Precision and recall", "Precision against recall for each class",
                  lambda theme: precision_recall(predictions, figures, theme)),
        ]  # fmt: skip
    if sum(1 for facts in metrics["by_source"].values() if facts["figures"]) > 0:
        found.append(Chart("by_source", "Accuracy by source", "Share of right answers in each source, with intervals",
                           lambda theme: by_source(metrics, theme)))  # fmt: skip
    if any(a["gap"] for a in metrics["subgroups"]["attributes"].values()):
        found.append(Chart("subgroups", "Subgroups", "The figure with the largest gap, group by group",
                           lambda theme: subgroups(metrics, theme)))  # fmt: skip
    if history is not None:
        found.append(Chart("training_curves", "Training", "Loss and scores over the epochs of training",
                           lambda theme: training_curves(history, theme)))  # fmt: skip
    return found


def subgroups(metrics: Facts, theme: Theme) -> Figure:
    """Draw for each attribute the metric with its largest gap in every group, with intervals."""
    found = [a for a in metrics["subgroups"]["attributes"].values() if a["gap"]]
    rows = [_known(a) for a in found]
    figure = Figure(figsize=(WIDTH, sum(0.75 + 0.34 * len(row) for row in rows) + 0.35))
    panels = figure.subplots(len(found), squeeze=False, sharex=True, height_ratios=[1.4 + len(row) for row in rows])
    for axes, attribute, known in zip(panels[:, 0], found, rows, strict=True):
        gap = attribute["gap"]
        for place, (name, value) in enumerate(known):
            extreme = name in (gap["lowest"]["group"], gap["highest"]["group"])
            colour = theme.series[1] if extreme else theme.series[0]
            if value["ci_low"] is not None:
                axes.hlines(place, value["ci_low"], value["ci_high"], color=colour, linewidth=2)
            axes.plot(value["value"], place, "D" if extreme else "o", color=colour, markersize=6)
        axes.set_yticks(np.arange(len(known)), [short(name, 24) for name, _ in known])
        axes.set(ylim=(len(known) - 0.4, -0.6), xlim=(-0.01, 1.01))
        axes.set_title(f"{attribute['title']}: {short(figure_name(gap['figure']), 34)}", loc="left")
        axes.grid(axis="x", linewidth=0.6)
        axes.tick_params(axis="y", length=0)
    panels[-1, 0].set(xlabel="value, 95 % interval; diamonds: the largest gap")
    return figure


def _known(attribute: Facts) -> list[tuple[str, Facts]]:
    figure = attribute["gap"]["figure"]
    values = {name: (group.get("figures") or {}).get(figure) for name, group in attribute["groups"].items()}
    return [(name, value) for name, value in values.items() if value]


def decision_charts(metrics: Facts) -> list[Chart]:
    """Return a chart for each class with a decision curve, and one more where a population was stated."""
    found = []
    for number, (name, curve) in enumerate(metrics["decision_curve"].items()):
        suffix = f"_{number + 1}" if number else ""
        title = f"Decision curve of {name}, {curve['prevalence']:.1%} of the tested images"
        found.append(Chart(f"decision_curve{suffix}", title, ALT, partial(decision_curve, curve)))
        stated = curve["stated"]
        if stated:
            title = f"Decision curve of {name} where {stated['prevalence']:.1%} have it, as stated"
            found.append(Chart(f"decision_curve{suffix}_stated", title, ALT, partial(decision_curve, stated)))
    return found


def decision_curve(curve: Facts, theme: Theme) -> Figure:
    """Draw the net benefit of the network beside treating everybody and treating nobody."""
    figure = Figure(figsize=(WIDTH, 4.2))
    axes = figure.subplots()
    x, model = curve["thresholds"], curve["model"]
    low, high = (np.array(model[end], dtype=float) for end in ("ci_low", "ci_high"))
    axes.fill_between(x, low, high, color=theme.series[0], alpha=0.25, linewidth=0, label="95 % band")
    axes.plot(x, model["value"], color=theme.series[0], label="network")
    axes.plot(x, curve["treat_all"]["value"], color=theme.series[1], linestyle="--", label="treat all")
    axes.axhline(0, color=theme.ink, linestyle=":", label="treat none")
    top = max(0.05, float(np.nanmax([*high[np.isfinite(high)], *model["value"]])))
    axes.set(xlim=(0, 1), ylim=(-0.35 * top, 1.1 * top), xlabel="threshold probability", ylabel="net benefit")
    axes.grid(visible=True, linewidth=0.6)
    axes.set_title(_useful(curve), loc="left")
    axes.legend(loc="upper right")
    return figure


def _useful(curve: Facts) -> str:
    if not curve["useful"]:
        return "nowhere surely better than both"
    return "surely better than both at " + ", ".join(f"{a:.2f}-{b:.2f}" for a, b in curve["useful"][:3])
