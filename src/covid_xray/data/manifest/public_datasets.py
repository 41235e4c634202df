"""Import the public data sets as their owners publish them; `public_datasets.yaml` describes each.

Labels: covid, normal, virus, bacterial, pneumonia (cause not stated), other, negative (COVIDx: not covid).
docs/how-to/public-datasets.md says where to download each and under which terms.
"""

from collections.abc import Callable
from functools import cache
from pathlib import Path
from typing import Any

import pandas as pd
import yaml

from covid_xray.config import Limits
from covid_xray.data.manifest import dataset_quirks as quirks
from covid_xray.data.manifest.importers import FRONTAL, RADIOGRAPHY, Source, source_rows
from covid_xray.data.manifest.licenses import allow_licenses
from covid_xray.data.manifest.manifest import Manifest, manifest_of
from covid_xray.data.manifest.readers import read_rows
from covid_xray.data.manifest.tables import read_xlsx
from covid_xray.errors import UsageError

# Accepted values of a column, by the name that `public_datasets.yaml` gives them.
KEPT = {"frontal": FRONTAL, "stated frontal": FRONTAL - {""}, "radiography": RADIOGRAPHY}
READERS: dict[str, Callable[[Path], pd.DataFrame]] = {"xlsx": read_xlsx, "covidx": quirks.read_covidx}


@cache
def public_datasets() -> dict[str, Source]:
    """Read the descriptions of all data sets, by name."""
    text = (Path(__file__).parent / "public_datasets.yaml").read_text(encoding="utf-8")
    return {name: _source(name, about) for name, about in yaml.safe_load(text)["datasets"].items()}


def dataset_names() -> tuple[str, ...]:
    """Return the names that `--source` accepts."""
    return (*public_datasets(), "cxr")


def import_source(
    name: str,
    folder: Path,
    *,
    license_allow: str = "any",
    check: bool = True,
    limits: Limits | None = None,
    progress: Callable[[int, int], None] | None = None,
) -> Manifest:
    """Read the unpacked folder of a public data set into a manifest.

    Args:
        name: one of `dataset_names`; `cxr` is a folder whose metadata.csv has our columns.
        folder: the data set as its owners arrange it.
        license_allow: `open`, `noncommercial` or `any`; other images are quarantined.
        check, limits, progress: as for `read_manifest`.

    Raises:
        UsageError: unknown name.
        BadManifest: the folder does not hold that source.
    """
    if name not in dataset_names():
        raise UsageError(f"Unknown source {name!r}. Choose one of {', '.join(dataset_names())}.")
    rows = read_rows(folder) if name == "cxr" else source_rows(public_datasets()[name], folder)
    manifest = manifest_of(rows, name=str(folder), check=check, limits=limits, progress=progress)
    return allow_licenses(manifest, license_allow)


def _source(name: str, about: dict[str, Any]) -> Source:
    found: dict[str, Any] = {
        "read": READERS.get(about.get("read", "")),
        "prepare": getattr(quirks, about.get("prepare", ""), None),
    }
    functions = {key: function for key, function in found.items() if function}
    lists = {key: tuple(about[key]) for key in ("tables", "skip") if key in about}
    labels = tuple((pattern, label) for pattern, label in about["labels"])
    keep = {column: KEPT[kept] for column, kept in about.get("keep", {}).items()}
    return Source(name, **(about | lists | functions | {"labels": labels, "keep": keep}))
