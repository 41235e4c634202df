"""Draw the charts of metrics, each for light and for dark pages.

The colours are those of Okabe and Ito, safe for colour-blind readers; classes differ in line style as well. All charts
are 5.6 inches wide, readable on a phone.
"""

import contextlib
import io
import warnings
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import matplotlib as mpl
import numpy as np
import pandas as pd
import seaborn as sns
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.ticker import MaxNLocator, PercentFormatter
from sklearn.metrics import precision_recall_curve, roc_curve

from covid_xray.evaluation.metrics.metrics import ECE_BINS, confidence_bins
from covid_xray.evaluation.predictions import Predictions

WIDTH, DPI = 5.6, 144
LINES = ("-", "--", "-.", ":")
Facts = Mapping[str, Any]


@dataclass(frozen=True)
class Theme:
    """Colours of one page: paper, ink, faint lines, series, and the colour map of the confusion matrix."""

    paper: str
    ink: str
    faint: str
    series: tuple[str, ...]
    heat: str


LIGHT = Theme("#ffffff", "#1c1e21", "#d5d8dc", ("#0072b2", "#d55e00", "#009e73", "#cc79a7", "#e69f00"), "Blues")
DARK = Theme("#1b1d22", "#e4e6ea", "#3c4048", ("#56b4e9", "#e69f00", "#2fc79b", "#e39bc5", "#f0e442"), "mako")


@dataclass(frozen=True)
class Chart:
    """A chart that can be drawn in any theme; `alt` describes it in words."""

    name: str
    title: str
    alt: str
    draw: Callable[[Theme], Figure]


def render(chart: Chart, theme: Theme, *, dpi: int = DPI) -> bytes:
    """Return the chart as PNG bytes."""
    with drawing(theme):
        return png(chart.draw(theme), dpi=dpi)


@contextlib.contextmanager
def drawing(theme: Theme) -> Iterator[None]:
    """Set the colours of `theme`; text is drawn literally, never as a formula."""
    settings = {
        "figure.facecolor": theme.paper, "axes.facecolor": theme.paper, "savefig.facecolor": theme.paper,
        "text.color": theme.ink, "axes.labelcolor": theme.ink, "xtick.color": theme.ink, "ytick.color": theme.ink,
        "axes.edgecolor": theme.ink, "grid.color": theme.faint, "legend.edgecolor": theme.faint,
        "legend.facecolor": theme.paper, "font.size": 11, "axes.titlesize": 11, "legend.fontsize": 10,
        "axes.spines.top": False, "axes.spines.right": False, "figure.constrained_layout.use": True,
        "figure.constrained_layout.w_pad": 0.1, "figure.constrained_layout.h_pad": 0.1, "text.parse_math": False,
    }  # fmt: skip
    with mpl.rc_context(settings), warnings.catch_warnings():
        warnings.filterwarnings("ignore", message="Glyph")  # a class may be named in any script
        yield


def png(figure: Figure, *, dpi: int = DPI) -> bytes:
    """Return the figure as PNG bytes."""
    stream = io.BytesIO()
    figure.savefig(stream, format="png", dpi=dpi)
    return stream.getvalue()


def read_history(path: Path | None) -> pd.DataFrame | None:
    """Read history.csv; `None` where it lacks epochs or losses."""
    if path is None or not path.is_file():
        return None
    try:
        history = pd.read_csv(path)
    except ValueError:
        return None
    usable = "epoch" in history and "loss" in history and len(history) > 0
    return history if usable else None


def confusion_matrix(metrics: Facts, theme: Theme) -> Figure:
    """Draw counts with row percentages, which set the colour."""
    counts = np.array(metrics["confusion_matrix"]["counts"])
    support = counts.sum(axis=1, keepdims=True)
    share = np.divide(counts, support, out=np.zeros(counts.shape), where=support > 0)
    words = np.array(
        [[f"{n:,}\n{s:.1%}" for n, s in zip(*row, strict=True)] for row in zip(counts, share, strict=True)]
    )
    figure = Figure(figsize=(WIDTH, 1.2 + 1.05 * max(3, len(counts))))
    axes = figure.subplots()
    names = [short(name) for name in metrics["classes"]]
    sns.heatmap(share, annot=np.reshape(words, counts.shape), fmt="", cmap=theme.heat, vmin=0, vmax=1, ax=axes,
                linewidths=1.5, linecolor=theme.paper, xticklabels=names, yticklabels=names,
                cbar_kws={"format": PercentFormatter(1.0), "label": "share of the true class"})  # fmt: skip
    axes.set(xlabel="predicted class", ylabel="true class")
    axes.tick_params(length=0, rotation=0)
    axes.tick_params(axis="y", rotation=90 if len(names) < 6 else 0)
    return figure


def roc(predictions: Predictions, metrics: Facts, theme: Theme) -> Figure:
    """Draw one line for each class, with AUROC, interval and operating points."""
    figures, points = metrics["figures"], metrics.get("operating_points") or {}
    figure, axes = _square()
    axes.plot([0, 1], [0, 1], color=theme.faint, linewidth=1)
    for code, style in _each(predictions, figures, "auroc", theme):
        alarms, hits, _ = roc_curve(predictions.labels == code, predictions.probabilities[:, code])
        axes.plot(alarms, hits, **style)
        _mark(axes, (points.get(predictions.classes[code]) or {"points": {}})["points"], style["color"], theme)
    axes.set(xlabel="1 - specificity (false alarms)", ylabel="sensitivity")
    axes.legend(loc="lower right", title="AUROC (95 % interval)")
    return figure


def precision_recall(predictions: Predictions, figures: Facts, theme: Theme) -> Figure:
    """Draw one line for each class, with average precision and interval; dotted: prevalence, i.e. chance."""
    figure, axes = _square()
    for code, style in _each(predictions, figures, "auprc", theme):
        truth = predictions.labels == code
        precision, recall, _ = precision_recall_curve(truth, predictions.probabilities[:, code])
        axes.plot(recall, precision, drawstyle="steps-post", **style)
        axes.axhline(truth.mean(), color=style["color"], linewidth=0.8, linestyle=":")
    axes.set(xlabel="recall (sensitivity)", ylabel="precision")
    axes.legend(loc="lower left", title="AUPRC (95 % interval); dotted: chance")
    return figure


def reliability(predictions: Predictions, figures: Facts, theme: Theme) -> Figure:
    """Draw accuracy by confidence with Wilson intervals; below, the number of images in each bin."""
    figure = Figure(figsize=(WIDTH, 5.6))
    axes, below = figure.subplots(2, height_ratios=[4, 1], sharex=True)
    confidence = predictions.probabilities.max(axis=1)
    right = predictions.labels == predictions.predicted
    bins = confidence_bins(confidence)
    counts = np.bincount(bins, minlength=ECE_BINS)
    used = np.flatnonzero(counts)
    mean = np.array([[confidence[bins == b].mean(), right[bins == b].mean()] for b in used])
    low, high = _wilson(mean[:, 1], counts[used])
    axes.plot([0, 1], [0, 1], color=theme.faint, linewidth=1.5, label="perfectly calibrated")
    axes.vlines(mean[:, 0], low, high, color=theme.series[0], linewidth=1.5, alpha=0.6)
    axes.plot(mean[:, 0], mean[:, 1], "o-", color=theme.series[0], label="this network")
    ece, brier, nll = (figures[name]["value"] for name in ("ece", "brier", "nll"))
    axes.set(
        title=f"ECE {ece:.3f} ({ECE_BINS} bins)   Brier {brier:.3f}   NLL {nll:.3f}", ylabel="share of right answers"
    )
    axes.set(xlim=(1 / len(predictions.classes) - 0.03, 1.02), ylim=(-0.02, 1.02))
    axes.legend(loc="lower right")
    edges = np.linspace(0, 1, ECE_BINS + 1)
    below.bar(edges[:-1], counts, width=1 / ECE_BINS, align="edge", color=theme.series[0], edgecolor=theme.paper)
    below.set(xlabel="highest probability (confidence)", ylabel="images")
    return figure


def by_source(metrics: Facts, theme: Theme) -> Figure:
    """Draw the accuracy of each source of 20 images or more, with interval; dashed: the mean over sources."""
    known = [(name, facts) for name, facts in metrics["by_source"].items() if facts["figures"]]
    known.sort(key=lambda item: -item[1]["figures"]["accuracy"]["value"])
    found = [facts["figures"]["accuracy"] for _, facts in known]
    values = np.array([figure["value"] for figure in found])
    ends = np.array([[figure["ci_low"], figure["ci_high"]] for figure in found], dtype=float)
    figure = Figure(figsize=(WIDTH, 1.3 + 0.55 * max(2, len(known))))
    axes = figure.subplots()
    axes.barh(range(len(known)), values, color=theme.series[0], height=0.62, alpha=0.85)
    axes.hlines(range(len(known)), ends[:, 0], ends[:, 1], color=theme.ink, linewidth=1.6)
    axes.axvline(values.mean(), color=theme.series[1], linewidth=1.5, linestyle="--")
    axes.set_yticks(range(len(known)), [f"{short(name, 22)}\nn = {facts['n_images']:,}" for name, facts in known])
    axes.set(
        xlim=(0, 1.0),
        xlabel="share of right answers, 95 % interval",
        title=f"dashed: mean of sources {values.mean():.1%}",
    )
    axes.xaxis.set_major_formatter(PercentFormatter(1.0))
    axes.invert_yaxis()
    return figure


def training_curves(history: pd.DataFrame, theme: Theme) -> Figure:
    """Draw loss and scores over the epochs; dotted: the epoch with the lowest validation loss."""
    figure = Figure(figsize=(WIDTH, 5.6))
    panels = figure.subplots(2, sharex=True)
    wanted = (("loss", ["loss", "val_loss"]), ("score", ["accuracy", "val_accuracy", "val_macro_f1"]))
    for axes, (label, columns) in zip(panels, wanted, strict=True):
        for number, name in enumerate(name for name in columns if name in history):
            axes.plot(history["epoch"], history[name], marker="o", markersize=4, label=_curve(name),
                      color=theme.series[number], linestyle=LINES[number])  # fmt: skip
        if "val_loss" in history and history["val_loss"].notna().any():
            best = history["epoch"].to_numpy()[np.nanargmin(history["val_loss"].to_numpy(dtype=float))]
            axes.axvline(best, color=theme.ink, linewidth=1, linestyle=":")
        axes.set(ylabel=label)
        axes.grid(axis="y")
        if axes.get_legend_handles_labels()[0]:
            axes.legend()
    panels[1].set(xlabel="epoch (dotted: lowest validation loss)")
    panels[1].xaxis.set_major_locator(MaxNLocator(integer=True))
    return figure


def short(text: str, length: int = 18) -> str:
    """Shorten a name to one printable line of at most `length` characters."""
    plain = "".join(c if c.isprintable() else " " for c in text)
    return plain if len(plain) <= length else plain[: length - 1] + "…"


def _square() -> tuple[Figure, Axes]:
    figure = Figure(figsize=(WIDTH, 5.0))
    axes = figure.subplots()
    axes.set(xlim=(-0.01, 1.01), ylim=(-0.01, 1.02))
    axes.grid(linewidth=0.6)
    return figure, axes


def _each(predictions: Predictions, figures: Facts, kind: str, theme: Theme) -> list[tuple[int, dict[str, Any]]]:
    styles = []
    for code, name in enumerate(predictions.classes):
        found = figures.get(f"{kind}/{name}")
        if found:
            label = f"{short(name)}  {found['value']:.3f}"
            if found["ci_low"] is not None:
                label += f" ({found['ci_low']:.3f} to {found['ci_high']:.3f})"
            colour, line = theme.series[code % len(theme.series)], LINES[code % len(LINES)]
            styles.append((code, {"label": label, "color": colour, "linestyle": line, "linewidth": 2}))
    return styles


def _mark(axes: Axes, points: Facts, colour: str, theme: Theme) -> None:
    """Mark the operating points on a ROC curve, with their names."""
    for name, point in points.items():
        if point.get("sensitivity") and point.get("specificity"):
            x, y = 1 - point["specificity"]["value"], point["sensitivity"]["value"]
            axes.plot(x, y, "o", color=colour, markeredgecolor=theme.paper, markersize=9, zorder=4)
            axes.annotate(name, (x, y), xytext=(9, -12), textcoords="offset points", color=theme.ink, fontsize=10)


def _wilson(share: np.ndarray, n: np.ndarray, z: float = 1.96) -> tuple[np.ndarray, np.ndarray]:
    centre = (share + z**2 / (2 * n)) / (1 + z**2 / n)
    half = z / (1 + z**2 / n) * np.sqrt(share * (1 - share) / n + z**2 / (4 * n**2))
    return centre - half, centre + half


def _curve(name: str) -> str:
    part = "validation" if name.startswith("val_") else "training"
    return f"{part} {name.removeprefix('val_').replace('macro_f1', 'macro-F1')}"
