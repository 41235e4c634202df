"""What is known of patients in, from options or from a table with one row for an image; the record of each image out.

Plain csv, no pandas: this is on the way of every prediction with clinical values.
"""

import csv
import io
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path, PurePath

from covid_xray import clinical
from covid_xray.errors import InputRefused, UsageError
from covid_xray.files import read_bounded

TABLE_BYTES = 50 << 20
TOLD = 5  # problems of a table that are named


@dataclass(frozen=True)
class Stated:
    """What is known of the patients of the images that will be asked about.

    Args:
        same: of every image; from options.
        rows: image as the table names it -> record; `None` where no table was given.
    """

    same: clinical.Record
    rows: dict[str, clinical.Record] | None = None

    def of(self, image: str) -> clinical.Record:
        """The record of the image of this name: by name, by the end of its path, or by its file name alone."""
        if self.rows is None:
            return self.same
        parts = PurePath(image).parts
        names = ["/".join(parts[start:]) for start in range(len(parts))]
        return next((self.rows[name] for name in (image, *names) if name in self.rows), {})


def stated(options: Mapping[str, str], table: Path | None) -> Stated | None:
    """The records of a command; `None` where nothing was stated.

    Args:
        options: field to text, and `symptoms` to a list such as `fever,no-cough`.
        table: CSV with the column image and columns named like the fields.

    Raises:
        UsageError: both, or a symptom that does not exist.
        InputRefused: values that are none or out of range; every line with one is named.
    """
    if options and table:
        raise UsageError("expected clinical options or --clinical TABLE. Received: both")
    if table:
        return Stated({}, read_records(table))
    if not options:
        return None
    given: dict[str, object] = {name: value for name, value in options.items() if name != "symptoms"}
    return Stated(clinical.record({**given, **clinical.symptoms(options.get("symptoms", ""))}))


def read_records(path: Path) -> dict[str, clinical.Record]:
    """Image -> record of each row of a CSV; columns that are no field are passed over.

    Raises:
        InputRefused: no such table, no column image, no clinical column, one image in two rows, or values that are
            refused.
    """
    rows = _rows(path)
    header = {(name or "").strip().lower(): name for name in rows[0]} if rows else {}
    columns = {header[alias]: name for alias, name in clinical.COLUMNS.items() if alias in header}
    if "image" not in header or not columns:
        raise InputRefused(
            f"expected {path.name} with rows, a column image and columns of {', '.join(clinical.BY_NAME)}. Received: "
            f"{', '.join(header) or 'no rows'}"
        )
    found: dict[str, clinical.Record] = {}
    problems = []
    for number, row in enumerate(rows, start=2):
        image = (row[header["image"]] or "").strip()
        try:
            if image in found:
                raise InputRefused("expected each image once. Received: one twice")
            found[image] = clinical.record({name: row[column] for column, name in columns.items()})
        except InputRefused as error:
            problems.append(f"line {number}: {error.message}")
    if problems:
        more = f"; and {len(problems) - TOLD} more lines" if len(problems) > TOLD else ""
        raise InputRefused(f"{path.name}: {'; '.join(problems[:TOLD])}{more}", code="clinical-value")
    return found


def _rows(path: Path) -> list[dict[str, str]]:
    try:
        text = read_bounded(path, limit=TABLE_BYTES).decode("utf-8-sig")
        return list(csv.DictReader(io.StringIO(text, newline=""), strict=True, restval=""))
    except OSError:
        raise InputRefused(f"expected {path} to be a CSV file. Received: one that cannot be read") from None
    except (UnicodeDecodeError, csv.Error):
        raise InputRefused(f"expected {path} to be CSV in UTF-8. Received: something else") from None
