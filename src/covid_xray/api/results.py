"""Hold what `train`, `evaluate` and `audit` of the package return: folders on disk, read on demand."""

import base64
import html
import json
import shutil
import tempfile
import weakref
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pandas as pd

from covid_xray.inference.predictor import Predictor

if TYPE_CHECKING:
    from PIL import Image

RESEARCH = "Research use, not for diagnosis."
MAIN = ("accuracy", "macro_f1", "auroc_macro", "ece")


class Figures(Mapping[str, "Image.Image"]):
    """The pictures of a folder by name, such as `roc` or `confusion_matrix`, opened when they are asked for."""

    def __init__(self, folder: Path, *, start: str = "") -> None:
        self._paths = {path.stem.removeprefix(start): path for path in sorted(folder.glob(f"{start}*.png"))}

    def __getitem__(self, name: str) -> "Image.Image":
        from PIL import Image

        with Image.open(self._paths[name]) as picture:
            return picture.copy()

    def __iter__(self) -> Iterator[str]:
        return iter(self._paths)

    def __len__(self) -> int:
        return len(self._paths)

    def __repr__(self) -> str:
        return f"Figures({', '.join(self)})"

    def html(self, *names: str) -> str:
        """Return the named pictures that there are, for a notebook."""
        found = [self._paths[name] for name in names if name in self._paths]
        data = (base64.b64encode(path.read_bytes()).decode() for path in found)
        return "".join(
            f'<img alt="" style="max-width:min(32em,100%)" src="data:image/png;base64,{one}">' for one in data
        )


class Scratch:
    """A temporary folder that is deleted with this object."""

    def __init__(self) -> None:
        self.path = Path(tempfile.mkdtemp(prefix="covid-xray-"))
        weakref.finalize(self, shutil.rmtree, self.path, ignore_errors=True)


@dataclass(frozen=True)
class Run:
    """A finished training run.

    Args:
        folder: of the run; `covid-xray evaluate FOLDER` and every function of the package takes it.
    """

    folder: Path

    def __fspath__(self) -> str:
        return str(self.folder)

    @property
    def bundle(self) -> Path:
        """The folder of the bundle."""
        return self.folder / "bundle"

    @property
    def history(self) -> pd.DataFrame:
        """One row for each epoch: loss, accuracy, validation loss and more."""
        path = self.folder / "history.csv"
        return pd.read_csv(path) if path.is_file() else pd.DataFrame()

    @property
    def split(self) -> pd.Series:
        """The part of each image: train, val, calibration or test."""
        from covid_xray.data.split.split import read_split

        return read_split(self.folder / "split.csv")

    @property
    def facts(self) -> dict[str, Any]:
        """The content of manifest.json: how the run was made."""
        found: dict[str, Any] = json.loads((self.folder / "manifest.json").read_text(encoding="utf-8"))
        return found

    def predictor(self, **options: Any) -> Predictor:
        """Open the network; options as of `Predictor`."""
        return Predictor(self.folder, **options)

    def _repr_html_(self) -> str:
        facts = self.facts
        parts = ", ".join(f"{name} {count}" for name, count in self.split.value_counts().items())
        rows = {"network": facts["bundle"]["name"], "classes": ", ".join(facts["bundle"]["classes"]), "images": parts,
                "ended": facts["ended"], "calibrated": facts["calibrated"], "folder": str(self.folder)}  # fmt: skip
        return _table(rows) + self.history.tail(5).to_html(index=False, float_format="{:.3f}".format)


@dataclass(frozen=True)
class Report:
    """The results of an evaluation.

    Args:
        folder: holds metrics.json, predictions.csv, figures/ and report.html.
        metrics: the content of metrics.json (docs/reference/metrics.md).
    """

    folder: Path
    metrics: dict[str, Any] = field(repr=False)
    _kept: Any = field(default=None, repr=False, compare=False)  # deletes a temporary folder with this object

    @property
    def figures(self) -> Figures:
        """The charts by name as Pillow images: `roc`, `confusion_matrix`, `reliability` and more."""
        return Figures(self.folder / "figures")

    @property
    def predictions(self) -> pd.DataFrame:
        """One row for each image: label, predicted class and probabilities."""
        return pd.read_csv(self.folder / "predictions.csv", keep_default_na=False)

    @property
    def html(self) -> Path:
        """The path of the whole report, a self-contained page."""
        return self.folder / "report.html"

    def to_frame(self) -> pd.DataFrame:
        """Return every figure as a row: value, ci_low, ci_high (95 %, over patients) and n."""
        rows = {name: {key: figure.get(key) for key in ("value", "ci_low", "ci_high", "n")}
                for name, figure in self.metrics["figures"].items()}  # fmt: skip
        return pd.DataFrame.from_dict(rows, orient="index").rename_axis("figure")

    def _repr_html_(self) -> str:
        frame = self.to_frame()
        main = frame.loc[[name for name in MAIN if name in frame.index]].to_html(float_format="{:.3f}".format)
        warnings = [text for text in (self.metrics["banner"], *self.metrics["warnings"]) if text]
        remarks = "".join(f"<li>{html.escape(text)}</li>" for text in warnings)
        title = f"<b>{html.escape(self.metrics['title'])}</b>"
        return f"{title}{main}<ul>{remarks}</ul>{self.figures.html('roc', 'confusion_matrix')}<p>{RESEARCH}</p>"


@dataclass(frozen=True)
class AuditReport:
    """The results of an audit.

    Args:
        folder: holds audit.json, audit.md and figures/audit_*.png.
        facts: the content of audit.json (docs/reference/audit.md).
    """

    folder: Path
    facts: dict[str, Any] = field(repr=False)
    _kept: Any = field(default=None, repr=False, compare=False)

    @property
    def verdict(self) -> str:
        """One sentence: how much of the score is left without the lungs."""
        return str(self.facts["verdict"]["line"])

    @property
    def figures(self) -> Figures:
        """The charts by name, such as `examples`."""
        return Figures(self.folder / "figures", start="audit_")

    def to_frame(self) -> pd.DataFrame:
        """Return a row for each condition (whole picture, lungs hidden ...): what it shows, and its figures."""
        rows = [
            {"condition": row["name"], "shows": row["shows"]}
            | {f"{figure}{end}": values.get(key)
               for figure, values in row["figures"].items()
               for key, end in (("value", ""), ("ci_low", "_low"), ("ci_high", "_high"))}
            for row in self.facts["conditions"]
        ]  # fmt: skip
        return pd.DataFrame(rows).set_index("condition")

    def _repr_html_(self) -> str:
        frame = self.to_frame().to_html(float_format="{:.3f}".format)
        return f"<b>{html.escape(self.verdict)}</b>{frame}{self.figures.html('examples')}<p>{RESEARCH}</p>"


def _table(rows: Mapping[str, str]) -> str:
    cells = "".join(f"<tr><th>{name}</th><td>{html.escape(value)}</td></tr>" for name, value in rows.items())
    return f"<table>{cells}</table>"
