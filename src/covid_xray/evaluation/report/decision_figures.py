"""What `decisions` found in, its charts out: the decision curve of each class, as tested and in a stated population."""

from collections.abc import Mapping
from functools import partial
from typing import Any

import numpy as np
from matplotlib.figure import Figure

from covid_xray.evaluation.report.figures import WIDTH, Chart, Theme

Facts = Mapping[str, Any]
ALT = "Net benefit against the threshold: the network with its band, treating everybody, treating nobody"


def decision_charts(metrics: Facts) -> list[Chart]:
    """A chart for each class with a decision curve, and one more where a population was stated."""
    found = []
    for number, (name, curve) in enumerate(metrics["decision_curve"].items()):
        suffix = f"_{number + 1}" if number else ""
        title = f"Decision curve of {name}, {curve['prevalence']:.1%} of the tested images"
        found.append(Chart(f"decision_curve{suffix}", title, ALT, partial(draw, curve)))
        stated = curve["stated"]
        if stated:
            title = f"Decision curve of {name} where {stated['prevalence']:.1%} have it, as stated"
            found.append(Chart(f"decision_curve{suffix}_stated", title, ALT, partial(draw, stated)))
    return found


def draw(curve: Facts, theme: Theme) -> Figure:
    """Net benefit of the network beside treating everybody and nobody; below 0.2 of harm the chart is cut."""
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
