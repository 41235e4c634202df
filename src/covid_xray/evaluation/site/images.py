"""Choose the images of a hospital that can be used: readable, each once, one of a patient, none of the training."""

import dataclasses
from collections.abc import Callable, Mapping
from pathlib import Path

import pandas as pd

from covid_xray.data.manifest.columns import SYNONYMS, name_columns, rename_labels
from covid_xray.data.manifest.manifest import Manifest, manifest_of, quarantine_table, select
from covid_xray.data.manifest.readers import Refusal, Rows, read_rows
from covid_xray.data.manifest.tables import read_any_table
from covid_xray.errors import BadManifest, InputRefused
from covid_xray.evaluation.predictions import Progress
from covid_xray.files import files_below
from covid_xray.images.decode import is_image_name

UNLABELLED = ""
COPY, TRAINED, PATIENT = "copy", "trained", "same-patient"


def read_images(
    data: Path,
    *,
    images: Path | None = None,
    columns: Mapping[str, str] | None = None,
    rename: Mapping[str, str] | None = None,
    where: list[str] | None = None,
    healthy: tuple[str, str] | None = None,
    trained: Callable[[pd.DataFrame], "pd.Series[bool]"] | None = None,
    progress: Progress | None = None,
) -> Manifest:
    """Read a hospital's images; what cannot be used is in the quarantine of the result, with a reason.

    Args:
        data: folder of class folders, folder of images without labels, or CSV with image and, where known, label.
        images: folder of a CSV's images.
        columns: manifest column to column of the table, as `manifest.read_manifest` takes them.
        rename: old label to new label; others stay.
        where: filters of `manifest.select`.
        healthy: the label that means healthy in the data, and what the bundle calls it.
        trained: which rows of a checked table are images that the network was trained on.
        progress: called with (files done, number of files).

    Raises:
        BadManifest: no usable image.
        InputRefused: the images come from several hospitals (code `mixed-sites`).
    """
    manifest = manifest_of(
        _rows(data, images, columns=columns, rename=rename), name=str(data), check=True, progress=progress
    )
    manifest = select(manifest, where=where) if where else manifest
    _require_one_source(manifest)
    table = manifest.table
    if healthy:
        table = table.assign(label=table["label"].replace({healthy[0]: healthy[1]}))
    for code, reason, mask in (
        (COPY, "The same pixels as another image.", lambda t: t["pixels_sha256"].duplicated()),
        (TRAINED, "The network was trained on this image.", trained),
        (PATIENT, "Another image of this patient has the same label; one of each is used.", _repeated),
    ):
        if mask is None or table.empty:
            continue
        gone = mask(table).to_numpy(dtype=bool)
        manifest = _with_refused(manifest, table[gone], code, reason)
        table = table[~gone]
    return dataclasses.replace(manifest, table=table.reset_index(drop=True))


def _with_refused(manifest: Manifest, rows: pd.DataFrame, code: str, reason: str) -> Manifest:
    refused = quarantine_table(Refusal(image, code, reason) for image in rows["image"])
    return dataclasses.replace(manifest, quarantine=pd.concat([manifest.quarantine, refused], ignore_index=True))


def _repeated(table: pd.DataFrame) -> "pd.Series[bool]":
    if "patient_id" not in table:
        return pd.Series(False, index=table.index)
    return (table["patient_id"] != "") & table.duplicated(["patient_id", "label"])


def _require_one_source(manifest: Manifest) -> None:
    names = sorted(set(manifest.table["source"]) - {""}) if "source" in manifest.table else []
    if len(names) > 1:
        raise InputRefused(
            f"The images come from {len(names)} hospitals: {', '.join(names[:5])}. Each is checked on its own; choose "
            f"one with --where source={names[0]}.",
            code="mixed-sites",
        )


def _rows(
    data: Path, images: Path | None, *, columns: Mapping[str, str] | None, rename: Mapping[str, str] | None
) -> Rows:
    """Rows of `read_rows`, with the images that have no label."""
    try:
        rows = read_rows(data, images=images, columns=columns)
    except BadManifest:
        bare = _without_labels(data, images, columns or {})
        if bare is None:
            raise
        return bare
    unknown = [one.image for one in rows.refused if one.code == "no-label" and (rows.root / one.image).is_file()]
    labels = rename_labels(rows.table["label"], rename) if rename else rows.table["label"]
    more = pd.DataFrame({"image": unknown, "label": UNLABELLED}, dtype=str)
    table = pd.concat([rows.table.assign(label=labels), more], ignore_index=True).fillna("")
    refused = tuple(one for one in rows.refused if one.image not in set(unknown))
    return dataclasses.replace(rows, table=table, refused=refused)


def _without_labels(data: Path, images: Path | None, columns: Mapping[str, str]) -> Rows | None:
    """Rows of a folder without class folders, or of a CSV without a column of labels; `None` for anything else."""
    if data.is_dir():
        names = [name for name in files_below(data) if is_image_name(name)]
        return Rows(pd.DataFrame({"image": names, "label": UNLABELLED}, dtype=str), data) if names else None
    if not data.is_file():
        return None
    table = read_any_table(data)
    if {"label", *SYNONYMS["label"]} & {*map(str.lower, table.columns), *columns}:
        return None
    named = name_columns(table.assign(label="none"), data.name, columns=columns)
    return Rows(named.assign(label=UNLABELLED), images or data.parent)
