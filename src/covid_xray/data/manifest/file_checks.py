"""Rows in, the same rows with hashes and file facts out; what cannot be decoded comes back with its reason.

Every file is read once, in a pool of threads (decoders and hashes release the interpreter lock).
"""

import os
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pandas as pd

from covid_xray.config import Limits
from covid_xray.data.manifest.readers import Refusal
from covid_xray.errors import BadManifest, CovidXrayError, InputRefused
from covid_xray.files import read_bounded, sha256_bytes
from covid_xray.images.radiograph import Radiograph

# What a checked row carries besides its hashes; text like every cell.
FACTS = ("file_format", "file_mode", "file_bits", "file_width", "file_height", "file_bytes", "file_view")
CHECKED = ("sha256", "pixels_sha256", *FACTS)


def check_files(
    table: pd.DataFrame,
    root: Path,
    *,
    limits: Limits,
    progress: Callable[[int, int], None] | None = None,
) -> tuple[pd.DataFrame, list[Refusal]]:
    """Decode every image of `table` once; returns the rows that decode with the columns `CHECKED`, and the refusals.

    Args:
        table: has `image`; where it has `sha256` (a manifest written before) the file must still have it.
        root: the folder that `image` is relative to.
        limits: what one file may cost.
        progress: called with (files done, files in all).

    Raises:
        BadManifest: code `changed`, when a file is not the one that the table was written for.
    """
    images = table["image"].tolist()
    workers = max(1, min(8, len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1))
    results: list[dict[str, str] | Refusal] = []
    with ThreadPoolExecutor(workers) as pool:
        for result in pool.map(lambda image: check_file(root / image, image=image, limits=limits), images):
            results.append(result)
            if progress:
                progress(len(results), len(images))
    cells = [[r[name] for name in CHECKED] if isinstance(r, dict) else [""] * len(CHECKED) for r in results]
    facts = pd.DataFrame(cells, columns=list(CHECKED), index=table.index, dtype=str)
    _refuse_changed(table, facts, root)
    good = pd.Series([isinstance(result, dict) for result in results], index=table.index, dtype=bool)
    checked = table.drop(columns=[name for name in CHECKED if name in table])
    refused = [result for result in results if isinstance(result, Refusal)]
    return _with_view(pd.concat([checked, facts], axis=1)[good]), refused


def check_file(path: Path, *, image: str, limits: Limits) -> dict[str, str] | Refusal:
    """Hashes and facts of one file, or why it is refused; never raises for what the file holds."""
    from covid_xray.images.decode import decode

    if not path.is_file():  # a named pipe would be waited for without end
        return Refusal(image, "unreadable-file", "expected a regular file. Received: something else, or a dead link")
    try:
        data = read_bounded(path, limit=limits.upload_bytes)
    except InputRefused as error:
        return Refusal(image, error.code, error.message)
    except OSError:
        return Refusal(image, "unreadable-file", "expected a file that can be opened. Received: the system refused it")
    try:
        radiograph = decode(data, limits=limits)
    except CovidXrayError as error:
        return Refusal(image, error.code, error.message)
    facts = _facts(radiograph, size=len(data))
    return {"sha256": sha256_bytes(data), "pixels_sha256": pixels_sha256(radiograph), **facts}


def pixels_sha256(radiograph: Radiograph) -> str:
    """SHA-256 of the decoded pixels with shape and bits: equal for one picture stored losslessly in two formats."""
    rows, columns = radiograph.pixels.shape
    head = f"{rows}x{columns}x{radiograph.bits}:".encode()
    return sha256_bytes(head + radiograph.pixels.astype(radiograph.pixels.dtype.newbyteorder("<")).tobytes())


def _with_view(table: pd.DataFrame) -> pd.DataFrame:
    """What the file says of the view (DICOM) fills the gaps of the table."""
    if (table["file_view"] == "").all():
        return table
    known = table["view"] if "view" in table else pd.Series("", index=table.index)
    return table.assign(view=known.where(known != "", table["file_view"]))


def _facts(radiograph: Radiograph, *, size: int) -> dict[str, str]:
    rows, columns = radiograph.pixels.shape
    said = radiograph.source
    values = (said.format, said.photometric or "", radiograph.bits, columns, rows, size, said.view or "")
    return {name: str(value) for name, value in zip(FACTS, values, strict=True)}


def _refuse_changed(table: pd.DataFrame, facts: pd.DataFrame, root: Path) -> None:
    if "sha256" not in table:
        return
    changed = table["image"][(table["sha256"] != "") & (table["sha256"] != facts["sha256"])]
    if len(changed):
        raise BadManifest(
            f"expected the files that the table was written for. Received: {len(changed)} changed since, "
            f"the first is {changed.iloc[0]} (remove the sha256 column, or index {root} anew, if that is meant)",
            code="changed",
        )
