"""Draw the loss against the learning rate, with the suggestions."""

from collections.abc import Mapping

import pandas as pd
from matplotlib.figure import Figure
from matplotlib.ticker import NullFormatter

from covid_xray.evaluation.report.figures import LIGHT, LINES, WIDTH, Theme, drawing, png

LABELS = {"steepest": "steepest fall", "minimum": "minimum / 10"}


def draw_rates(
    curve: pd.DataFrame, suggestions: Mapping[str, float | None], *, chosen: str, theme: Theme = LIGHT
) -> bytes:
    """Draw the chart as PNG.

    Args:
        curve: learning_rate, loss and smoothed, one row for each step.
        suggestions: rule -> learning rate, or `None`.
        chosen: the rule whose line is thicker.
        theme: colours.
    """
    with drawing(theme):
        figure = Figure(figsize=(WIDTH, 3.8))
        axes = figure.subplots()
        rates, smoothed = curve["learning_rate"], curve["smoothed"]
        axes.plot(rates, curve["loss"], color=theme.series[0], alpha=0.35, linewidth=1, label="each batch")
        axes.plot(rates, smoothed, color=theme.series[0], linewidth=2, label="smoothed")
        for place, (rule, rate) in enumerate(suggestions.items(), start=1):
            if rate is not None:
                axes.axvline(rate, color=theme.series[place], linestyle=LINES[place],
                             linewidth=2.4 if rule == chosen else 1.2, label=f"{rate:.2g}: {LABELS[rule]}")  # fmt: skip
        begun, lowest = float(smoothed.iloc[0]), float(smoothed.min())
        margin = 0.25 * (begun - lowest) or 0.1
        axes.set(xscale="log", xlabel="learning rate", ylabel="training loss")
        axes.set_ylim(lowest - margin, begun + 2 * margin)
        axes.xaxis.set_major_formatter("{x:g}")  # powers of ten would need formulas
        axes.xaxis.set_minor_formatter(NullFormatter())
        axes.grid(linewidth=0.6)
        axes.legend(loc="lower left", framealpha=0.9)
        return png(figure)
