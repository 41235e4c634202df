"""Write a Kaggle submission: `Image,Label`, one row for every image, checked against the sample.

Rows are joined by image name, never by the order in which a file system lists.
"""

import csv
import io
from collections.abc import Mapping, Sequence
from pathlib import Path, PurePosixPath

from covid_xray.errors import InputRefused
from covid_xray.files import shown, write_text


def read_sample(path: Path) -> tuple[tuple[str, str], tuple[str, ...]]:
    """Read header and image names of a sample submission, in its order.

    Raises:
        InputRefused: it is not a CSV of two columns or more, or names an image twice.
    """
    try:
        rows = list(csv.reader(io.StringIO(path.read_text(encoding="utf-8-sig"))))
    except (OSError, ValueError, csv.Error):
        raise InputRefused(
            f"{path} is not a CSV file in UTF-8. Give the sample submission of the competition."
        ) from None
    rows = [row for row in rows if row]
    if not rows or any(len(row) < 2 for row in rows):
        raise InputRefused(f"{path} has fewer than two columns. A sample submission has two, such as Image,Label.")
    names = [row[0].strip() for row in rows[1:]]
    twice = sorted({name for name in names if names.count(name) > 1}) if len(set(names)) < len(names) else []
    if twice:
        raise InputRefused(f"{path} names {twice[0]} twice. It must name each image once.")
    return (rows[0][0], rows[0][1]), tuple(names)


def match(names: Sequence[str], images: Sequence[str], *, sample: Path) -> dict[str, str]:
    """Match each name in the sample to an image, by path, by file name or by stem, in this order.

    Raises:
        InputRefused: an image of the sample is missing, or two images fit one name.
    """
    keys: tuple[dict[str, list[str]], ...] = ({}, {}, {})
    for image in images:
        path = PurePosixPath(image)
        for index, key in zip(keys, (image, path.name, path.stem), strict=True):
            index.setdefault(key, []).append(image)
    matched: dict[str, str] = {}
    missing = []
    for name in names:
        found = next((index[name] for index in keys if name in index), [])
        if len(found) > 1:
            raise InputRefused(
                f"{name} of {sample} fits several images: {', '.join(found[:3])}. Give them other names."
            )
        if found:
            matched[name] = found[0]
        else:
            missing.append(name)
    if missing:
        raise InputRefused(
            f"{len(missing)} images of {sample} are not among the {len(images)} predicted ones, such as {missing[0]}. "
            "Give the folder with all test images by --data."
        )
    return matched


def write_submission(path: Path, rows: Mapping[str, str], *, header: tuple[str, str] = ("Image", "Label")) -> None:
    """Write name -> label as a two-column CSV, atomically, in the order of `rows`."""
    buffer = io.StringIO()
    writer = csv.writer(buffer, lineterminator="\n")
    writer.writerow(header)
    writer.writerows((shown(name), label) for name, label in rows.items())
    write_text(path, buffer.getvalue())
