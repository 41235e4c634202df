"""Decode and hash the files of a manifest, each once, in a pool of threads."""

import os
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pandas as pd

from covid_xray.config import Limits
from covid_xray.data.manifest.readers import Refusal
from covid_xray.errors import BadManifest, CovidXrayError
from covid_xray.files import read_bounded, sha256_bytes
from covid_xray.images.fingerprint import fingerprint
from covid_xray.images.radiograph import Radiograph

FACTS = ("file_format", "file_mode", "file_bits", "file_width", "file_height", "file_bytes", "file_view")
CONTENT = ("sha256", "pixels_sha256", "fingerprint")  # what the image is, whatever it is called
CHECKED = (*CONTENT, *FACTS)


def check_files(
    table: pd.DataFrame,
    root: Path,
    *,
    limits: Limits,
    progress: Callable[[int, int], None] | None = None,
) -> tuple[pd.DataFrame, list[Refusal]]:
    """Decode every image; return the decodable rows with the columns `CHECKED`, and the refusals.

    Args:
        table: has `image`; where it also has `sha256`, the file must match it.
        root: folder of the images.
        limits: limits for one file.
        progress: called with (files done, number of files).

    Raises:
        BadManifest: code `changed`, a file does not match its `sha256`.
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
    """Return hashes and facts of one file, or the refusal; never raises because of the file's content."""
    from covid_xray.images.decode import decode

    if not path.is_file():  # reading a named pipe would block
        return Refusal(image, "unreadable-file", "Not a regular file, or a broken link.")
    try:
        data = read_bounded(path, limit=limits.upload_bytes)
        radiograph = decode(data, limits=limits)
    except CovidXrayError as error:
        return Refusal(image, error.code, error.message)
    except OSError:
        return Refusal(image, "unreadable-file", "The file cannot be opened.")
    facts = _facts(radiograph, size=len(data))
    content = (sha256_bytes(data), pixels_sha256(radiograph), fingerprint(radiograph))
    return {**dict(zip(CONTENT, content, strict=True)), **facts}


def pixels_sha256(radiograph: Radiograph) -> str:
    """Hash the decoded pixels with shape and bits: equal for one image stored losslessly in two formats."""
    rows, columns = radiograph.pixels.shape
    head = f"{rows}x{columns}x{radiograph.bits}:".encode()
    return sha256_bytes(head + radiograph.pixels.astype(radiograph.pixels.dtype.newbyteorder("<")).tobytes())


def _with_view(table: pd.DataFrame) -> pd.DataFrame:
    """Fill missing views of the table from the DICOM files."""
    if (table["file_view"] == "").all():
        return table
    known = table["view"] if "view" in table else pd.Series("", index=table.index)
    return table.assign(view=known.where(known != "", table["file_view"]))


def _facts(radiograph: Radiograph, *, size: int) -> dict[str, str]:
    rows, columns = radiograph.pixels.shape
    source = radiograph.source
    values = (source.format, source.photometric or "", radiograph.bits, columns, rows, size, source.view or "")
    return {name: str(value) for name, value in zip(FACTS, values, strict=True)}


def _refuse_changed(table: pd.DataFrame, facts: pd.DataFrame, root: Path) -> None:
    if "sha256" not in table:
        return
    changed = table["image"][(table["sha256"] != "") & (table["sha256"] != facts["sha256"])]
    if len(changed):
        raise BadManifest(
            f"{len(changed)} files changed since the table was written, first {changed.iloc[0]}. Restore them, remove "
            f"the sha256 column, or index {root} again.",
            code="changed",
        )
