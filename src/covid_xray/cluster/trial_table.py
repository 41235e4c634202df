"""Collect the trials of a search into a table, a figure and the best settings."""

import csv
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from covid_xray.cluster.search_space import Dimension
from covid_xray.config import Training
from covid_xray.files import replacing, write_text

MEASURED = ("epochs", "best_epoch", "val_loss", "val_accuracy", "val_macro_f1")


def read_trials(
    folders: Sequence[Path], settings: Sequence[Training], space: Sequence[Dimension]
) -> list[dict[str, Any]]:
    """Return a row per trial, the best first: number, settings of the space, metrics of its best epoch, outcome."""
    rows = []
    for number, (folder, one) in enumerate(zip(folders, settings, strict=True), start=1):
        history = read_history(folder)
        best = min(history, key=lambda row: row["val_loss"], default=None)
        rows.append(
            {
                "trial": number,
                **{dimension.key: getattr(one, dimension.key) for dimension in space},
                "epochs": len(history),
                "best_epoch": int(best["epoch"]) if best else 0,
                **{name: best[name] if best else float("inf") for name in MEASURED[2:]},
                "ended": _ended(folder, history),
            }
        )
    return sorted(rows, key=lambda row: (row["val_loss"], row["trial"]))


def read_history(folder: Path) -> list[dict[str, float]]:
    """Read the epochs of a run folder; none before the first one ended."""
    try:
        with (folder / "history.csv").open(newline="", encoding="utf-8") as stream:
            return [{key: float(value) for key, value in row.items()} for row in csv.DictReader(stream)]
    except (OSError, ValueError, TypeError):
        return []


def write_report(rows: list[dict[str, Any]], folders: Sequence[Path], *, out: Path, space: Sequence[Dimension]) -> None:
    """Write best.yaml, tune.md, figures/tune.png and, last, trials.csv."""
    write_text(out / "best.yaml", (folders[rows[0]["trial"] - 1] / "config.yaml").read_text(encoding="utf-8"))
    write_text(out / "tune.md", _render_page(rows, space))
    _draw_figure(rows, folders, out / "figures" / "tune.png", space)
    with replacing(out / "trials.csv") as temporary, temporary.open("w", newline="", encoding="utf-8") as stream:
        writer = csv.DictWriter(stream, list(rows[0]))
        writer.writeheader()
        writer.writerows(rows)


def _ended(folder: Path, history: list[dict[str, float]]) -> str:
    if (folder / "manifest.json").exists():
        return "finished"
    return "stopped early" if history else "failed"


def _render_page(rows: list[dict[str, Any]], space: Sequence[Dimension]) -> str:
    names = list(rows[0])
    lines = ["| " + " | ".join(names) + " |", "|" + "---|" * len(names)]
    lines += ["| " + " | ".join(_cell(row[name]) for name in names) + " |" for row in rows]
    ranges = [f"- `{d.key}`: {d.kind} {', '.join(map(str, d.values))}" for d in space]
    return "\n".join(
        [
            "# Search for settings",
            "",
            f"{len(rows)} trials; trial 1 has the settings that were given. Chosen by the lowest validation loss: "
            f"trial {rows[0]['trial']}, in `best.yaml`. Its figures are those it was chosen by: judge it "
            "on the test part of a run of its own. Research use, not for diagnosis.",
            "",
            "Searched:",
            *ranges,
            "",
            *lines,
            "",
            "![Validation loss of the trials](figures/tune.png)",
            "",
        ]
    )


def _cell(value: Any) -> str:
    return f"{value:.4g}" if isinstance(value, float) else str(value)


def _draw_figure(rows: list[dict[str, Any]], folders: Sequence[Path], path: Path, space: Sequence[Dimension]) -> None:
    """Plot validation loss by epoch, and the best loss of each trial against every numeric setting."""
    from matplotlib.figure import Figure

    numeric = [d for d in space if all(isinstance(row[d.key], int | float) for row in rows)]
    figure = Figure(figsize=(5 + 3 * len(numeric), 4), layout="constrained")
    axes = figure.subplots(1, 1 + len(numeric), squeeze=False, width_ratios=[5 / 3, *[1] * len(numeric)])[0]
    for row in reversed(rows):
        history = read_history(folders[row["trial"] - 1])
        best = row is rows[0]
        axes[0].plot(
            [one["epoch"] for one in history],
            [one["val_loss"] for one in history],
            color="C1" if best else "0.7",
            marker="o" if len(history) == 1 else None,
            label=f"trial {row['trial']} (best)" if best else None,
        )
    axes[0].set(xlabel="epoch", ylabel="validation loss", title=f"{len(rows)} trials")
    axes[0].legend(frameon=False)
    known = [row for row in rows if row["epochs"]]
    for axis, dimension in zip(axes[1:], numeric, strict=True):
        axis.scatter(
            [row[dimension.key] for row in known],
            [row["val_loss"] for row in known],
            c=["C1" if row is rows[0] else "0.5" for row in known],
        )
        axis.set(xlabel=dimension.key, xscale="log" if dimension.kind == "loguniform" else "linear")
    with replacing(path) as temporary:
        figure.savefig(temporary, format="png", dpi=120)
