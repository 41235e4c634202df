"""Write docs/results/commission.md and its picture from the figures of `experiments.commission`."""

from collections.abc import Sequence
from typing import Any

from matplotlib.figure import Figure

from covid_xray.evaluation.report.figures import LIGHT

HEAD = """# commission

Made by `runs/commission.sh` (`python -m experiments.commission`).

What checking a bundle on a hospital's own healthy radiographs buys (`covid-xray commission`), at hospitals that the
network never saw. The rule, thresholds and offsets are those of the command; the hospitals are finite, so "held" asks
whether at most 10 % of all healthy images of the hospital pass the threshold.
"""
WRITTEN = "<!-- written by hand -->"


def page(facts: Sequence[dict[str, Any]]) -> str:
    """Return the page."""
    lines = [HEAD, "## The promise", ""]
    lines += [
        "Of 500 draws of n healthy images, how often the threshold at the score of the given rank kept false positives "
        "at or below 10 %:",
        "",
        "| hospital, never seen | run | n | rank | held (95 % interval) | false positives before | after | lost |",
        "|---|---|---|---|---|---|---|---|",
    ]
    for one in facts:
        for row in one["promise"]:
            lost = "; ".join(f"{name} {100 * value:.0f}" for name, value in row["sensitivity_lost"].items())
            low, high = row["held_ci"]
            lines.append(
                f"| {one['hospital']} ({one['healthy']} healthy) | {one['run']} | {row['images']} | {row['rank']} | "
                f"{row['held']:.3f} ({low:.3f} to {high:.3f}) | {row['false_positives_before']:.3f} | "
                f"{row['false_positives_mean']:.3f} | {lost} |"
            )
    lines += [
        "",
        "After and lost are means; lost is sensitivity, in points.",
        "",
        "## What 25, 50, 100 and 300 healthy images buy",
        "",
        "![False positives and sensitivity by the number of healthy images](commission.png)",
        "",
        "Means over 20 draws, and the span that holds 95 % of them; judged on the healthy that were not drawn.",
        "",
    ]
    for one in facts:
        lines += _curves(one)
    return "\n".join(lines) + f"\n{WRITTEN}"


def _curves(one: dict[str, Any]) -> list[str]:
    groups = list(one["ill"])
    lines = [f"### {one['hospital']}, by the run {one['run']}", ""]
    lines += ["| n | way | false positives | " + " | ".join(f"AUROC, {g} | sensitivity, {g}" for g in groups) + " |"]
    lines += ["|---|---|---|" + "---|" * 2 * len(groups)]
    for size, ways in one["curve"].items():
        for way, values in ways.items():
            cells = [_span(values["false positives"])]
            for group in groups:
                cells += [_span(values[f"AUROC, {group}"]), _span(values[f"sensitivity, {group}"])]
            lines.append(f"| {size} | {way} | " + " | ".join(cells) + " |")
    return [*lines, ""]


def _span(values: Sequence[float]) -> str:
    mean, low, high = values
    return f"{mean:.2f} ({low:.2f} to {high:.2f})"


def draw(facts: Sequence[dict[str, Any]]) -> Figure:
    """Draw false positives and sensitivity against the number of healthy images, a row for each hospital."""
    figure = Figure(figsize=(8.4, 2.7 * len(facts)))
    panels = figure.subplots(len(facts), 2, squeeze=False)
    for row, one in zip(panels, facts, strict=True):
        group = next(iter(one["ill"]), None)
        for axes, name in zip(row, ("false positives", f"sensitivity, {group}"), strict=True):
            _panel(axes, one, name)
        row[0].axhline(0.10, color=LIGHT.ink, linewidth=0.8, linestyle=":")
        row[0].set_title(f"{one['hospital']} ({one['run']})", loc="left")
    panels[0][1].legend(loc="lower left")
    for axes in panels[-1]:
        axes.set_xlabel("healthy images of the hospital")
    return figure


def _panel(axes: Any, one: dict[str, Any], name: str) -> None:
    ways = dict.fromkeys(way for found in one["curve"].values() for way in found)
    for place, way in enumerate(ways):
        points = [(int(size), found[way][name]) for size, found in one["curve"].items() if way in found]
        x = [size * (1 + 0.03 * place) for size, _ in points]
        y, low, high = zip(*(values for _, values in points), strict=True)
        colour = LIGHT.series[place % len(LIGHT.series)]
        axes.vlines(x, low, high, color=colour, linewidth=2)
        axes.plot(x, y, "o-", color=colour, label=way, markersize=4)
    axes.set(xscale="log", ylim=(-0.02, 1.02), ylabel=name.split(",", maxsplit=1)[0])
    axes.set_xticks([25, 50, 100, 300], ["25", "50", "100", "300"])
    axes.minorticks_off()
    axes.grid(axis="y", linewidth=0.6)
