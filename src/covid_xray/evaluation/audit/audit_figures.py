"""Draw the charts of audit.json, and a sheet that shows what each intervention leaves visible."""

import textwrap
from collections.abc import Mapping
from typing import Any

import numpy as np
from matplotlib.figure import Figure
from numpy.typing import NDArray

from covid_xray.evaluation.audit.interventions import INTERVENTIONS, Input
from covid_xray.evaluation.audit.shortcut_verdict import NAMES
from covid_xray.evaluation.audit.shortcuts import HEADLINE
from covid_xray.evaluation.report.figures import LINES, WIDTH, Chart, Theme, drawing, png

LABELS = {
    "whole": "whole picture",
    "corners_black": "corners black",
    "lungs_only": "only lungs, black around",
    "lungs_only_mean": "only lungs, mean picture around",
    "lungs_black": "lungs black (outline shows)",
    "lungs_mean": "mean picture for the lungs",
    "box_black": "lung box black",
    "box_mean": "mean picture in the box",
    "frame_only": "frame only",
}
# Place in the theme's series.
COLOURS = {"seen": 0, "only": 2, "hidden": 1, "outline": 1, "edge": 1}


def audit_charts(facts: Mapping[str, Any]) -> list[Chart]:
    """Return the charts that these results allow: survival, and cascade and curves where heat maps were tested."""
    found = [Chart("audit_conditions", "What survives", f"{NAMES[HEADLINE]} of each intervention, and chance",
                   lambda theme: survival_bars(facts, theme))]  # fmt: skip
    if facts["heatmaps"]:
        found.append(Chart("audit_cascade", "Layers made random", "Agreement with the map of the trained network",
                           lambda theme: cascade_lines(facts["heatmaps"]["cascade"], theme)))  # fmt: skip
        found.append(Chart("audit_curves", "Insertion and deletion", "Probability of the class as pixels come or go",
                           lambda theme: curves(facts["heatmaps"], theme)))  # fmt: skip
    return found


def survival_bars(facts: Mapping[str, Any], theme: Theme) -> Figure:
    """Draw one bar for each intervention with its interval; dashed: chance."""
    rows = facts["conditions"]
    figures = [row["figures"][HEADLINE] for row in rows]
    values = np.array([figure["value"] for figure in figures])
    figure = Figure(figsize=(WIDTH, 0.9 + 0.42 * len(rows)))
    axes = figure.subplots()
    colours = [theme.series[COLOURS[row["lungs"]]] for row in rows]
    axes.barh(range(len(rows)), values, color=colours, height=0.62, alpha=0.85)
    for place, found in enumerate(figures):
        if found["ci_low"] is not None:
            axes.hlines(place, found["ci_low"], found["ci_high"], color=theme.ink, linewidth=1.6)
    axes.axvline(facts["chance"][HEADLINE], color=theme.ink, linewidth=1.2, linestyle="--")
    axes.set_yticks(range(len(rows)), [LABELS[row["name"]] for row in rows])
    axes.set(xlim=(0, 1.0), xlabel=f"{NAMES[HEADLINE]}, 95 % interval; dashed: chance")
    axes.invert_yaxis()
    return figure


def cascade_lines(cascade: Mapping[str, Any], theme: Theme) -> Figure:
    """Draw Spearman and SSIM after each step, with intervals; thin: maps of two different images."""
    steps = cascade["steps"]
    figure = Figure(figsize=(WIDTH, 3.9))
    axes = figure.subplots()
    for number, (key, name) in enumerate((("spearman", "Spearman"), ("ssim", "SSIM"))):
        values = [step[key]["value"] for step in steps]
        ends = np.array([[step[key]["ci_low"], step[key]["ci_high"]] for step in steps], dtype=float)
        style: dict[str, Any] = {"color": theme.series[number], "linestyle": ("-", "--")[number]}
        axes.plot(range(len(steps)), values, marker="o", markersize=4, label=name, **style)
        axes.fill_between(range(len(steps)), ends[:, 0], ends[:, 1], color=theme.series[number], alpha=0.2, linewidth=0)
        axes.axhline(cascade["unrelated"][key]["value"], linewidth=0.9, **style)
    axes.set_xticks(range(len(steps)), [step["layer"] for step in steps], rotation=40, ha="right", fontsize=8)
    axes.set(ylim=(-0.35, 1.05), ylabel="agreement with the trained map", xlabel="made random down to")
    axes.legend(loc="upper right", title="thin lines: maps of two different images")
    return figure


def curves(found: Mapping[str, Any], theme: Theme) -> Figure:
    """Draw the mean class probability as pixels are inserted or deleted, most important first."""
    figure = Figure(figsize=(WIDTH, 5.6))
    panels = figure.subplots(2, sharex=True)
    for axes, kind in zip(panels, ("insertion", "deletion"), strict=True):
        for number, row in enumerate(found["methods"]):
            curve = row["curves"][kind]
            style = {"color": theme.series[number % len(theme.series)], "linestyle": LINES[number % len(LINES)]}
            axes.plot(np.linspace(0, 1, len(curve)), curve, label=row["shows"], **style)
        axes.set(ylim=(0, 1), ylabel=f"probability, {kind}")
    panels[1].set(xlabel="share of the pixels")
    panels[0].legend(loc="lower right", fontsize=8)
    return figure


def examples(x: Input, theme: Theme) -> bytes:
    """Render what each intervention leaves of N pictures: N rows, as PNG bytes."""
    shown = [way.change(x) for way in INTERVENTIONS]
    return sheet(shown, [LABELS[way.name] for way in INTERVENTIONS], theme)


def sheet(columns: list[NDArray[np.uint8]], titles: list[str], theme: Theme) -> bytes:
    """Render columns of pictures, each with its title, as PNG bytes."""
    rows = len(columns[0])
    with drawing(theme):
        figure = Figure(figsize=(1.55 * len(columns), 0.7 + 1.5 * rows))
        grid = figure.subplots(rows, len(columns), squeeze=False)
        for column, (pictures, title) in enumerate(zip(columns, titles, strict=True)):
            for row, picture in enumerate(pictures):
                axes = grid[row][column]
                axes.imshow(picture, cmap="gray", vmin=0, vmax=255)
                axes.set_axis_off()
                if row == 0:
                    axes.set_title(textwrap.fill(title, 18), fontsize=8)
        return png(figure)
