"""Read the files of a run folder beside the bundle: its parts, how it was made, and its audit."""

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from covid_xray.data.manifest.manifest import Manifest
from covid_xray.data.manifest.tables import number_column
from covid_xray.data.split.groups import groups
from covid_xray.data.split.split import PARTS, overlaps
from covid_xray.errors import CovidXrayError
from covid_xray.evaluation.metrics.attributes import read_attributes
from covid_xray.evaluation.metrics.subgroups import SMALLEST
from covid_xray.evaluation.run_schema import Audit, Made
from covid_xray.evaluation.schema_base import Facts as Schema
from covid_xray.evaluation.schema_base import require_schema

Facts = dict[str, Any]


def read_run(folder: Path, manifest: Manifest, split: pd.Series | None) -> Facts:
    """Return what metrics.json holds under `run` (`run_schema.Run`); a part that the folder does not have is `None`.

    Args:
        folder: of the run.
        manifest: all images of the data set, not those of one part alone.
        split: part of each image by its name, or `None`.
    """
    known = None if split is None else split.reindex(manifest.table["image"]).dropna()
    whole = known is not None and len(known) == len(manifest.table)
    made = read_json(folder / "manifest.json")
    return {
        "parts": _parts(manifest, known) if known is not None and len(known) else None,
        "overlaps": overlaps(manifest, known) if known is not None and whole else None,
        "made": _fitting({key: made[key] for key in Made.model_fields if key in made}, Made) if made else None,
        "audit": _fitting(read_json(folder / "audit.json"), Audit),
    }


def read_json(path: Path) -> Facts | None:
    """Read the object in a JSON file; `None` where it cannot be read."""
    try:
        content = json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError):
        return None
    return content if isinstance(content, dict) else None


def _fitting(found: Facts | None, model: type[Schema]) -> Facts | None:
    """Return what was read if it fits the model; content of another format version counts as none."""
    try:
        return found and require_schema(found, model)
    except CovidXrayError:
        return None


def _parts(manifest: Manifest, split: pd.Series) -> dict[str, Facts]:
    table = manifest.table.set_index("image", drop=False).loc[list(split.index)]
    people = groups(manifest).loc[table.index].to_numpy()
    named = "patient_id" in table and bool((table["patient_id"] != "").any())
    column = split.to_numpy()
    return {
        name: _part(table[column == name], people[column == name] if named else None)
        for name in PARTS
        if (column == name).any()
    }


def _part(rows: pd.DataFrame, people: Any) -> Facts:
    sex = next(a for a in read_attributes(rows) if a.name == "sex")
    return {
        "images": len(rows),
        "patients": None if people is None else len(set(people)),
        "unnamed": int((rows["patient_id"] == "").sum()) if "patient_id" in rows else len(rows),
        "labels": _counted(rows["label"]),
        "sources": _counted(rows["source"]) if "source" in rows else {},
        "sex": {name: _hidden(int((sex.groups == name).sum())) for name in sex.order},
        "age": _ages(rows),
    }


def _counted(column: pd.Series) -> dict[str, int]:
    return {str(name): int(n) for name, n in column.value_counts().sort_index().items() if name}


def _hidden(count: int) -> int | None:
    return count if count >= SMALLEST else None


def _ages(rows: pd.DataFrame) -> Mapping[str, float] | None:
    ages = number_column(rows, "age").dropna()
    if len(ages) < SMALLEST:
        return None
    low, middle, high = np.quantile(ages, [0.25, 0.5, 0.75])
    return {"stated": len(ages), "median": float(middle), "quartile_1": float(low), "quartile_3": float(high)}
