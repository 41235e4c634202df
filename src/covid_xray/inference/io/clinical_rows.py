"""Read clinical values from options, or from a table with one row for each image.

Plain csv without pandas, to start fast.
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
NAMED = 5  # problems of a table that are named


@dataclass(frozen=True)
class ClinicalValues:
    """Clinical values of the patients of all images.

    Args:
        same: of every image; from options.
        rows: image as the table names it -> record; `None` where no table was given.
    """

    same: clinical.Record
    rows: dict[str, clinical.Record] | None = None

    def lookup(self, image: str) -> clinical.Record:
        """Find the record of an image: by name, by the end of its path, or by its file name alone."""
        if self.rows is None:
            return self.same
        parts = PurePath(image).parts
        names = ["/".join(parts[start:]) for start in range(len(parts))]
        return next((self.rows[name] for name in (image, *names) if name in self.rows), {})


def read_clinical(options: Mapping[str, str], table: Path | None) -> ClinicalValues | None:
    """Read the clinical values of a command; `None` where none were given.

    Args:
        options: field to text, and `symptoms` to a list such as `fever,no-cough`.
        table: CSV with the column image and columns named like the fields.

    Raises:
        UsageError: both, or a symptom that does not exist.
        InputRefused: values that are invalid or out of range; the lines with them are named.
    """
    if options and table:
        raise UsageError("Clinical options and --clinical TABLE exclude each other. Give one of them.")
    if table:
        return ClinicalValues({}, read_records(table))
    if not options:
        return None
    given: dict[str, object] = {name: value for name, value in options.items() if name != "symptoms"}
    return ClinicalValues(clinical.record({**given, **clinical.symptoms(options.get("symptoms", ""))}))


def read_records(path: Path) -> dict[str, clinical.Record]:
    """Read image -> record of each row of a CSV; columns that are not a clinical field are ignored.

    Raises:
        InputRefused: no such table, no column image, no clinical column, one image in two rows, or invalid values.
    """
    rows = _rows(path)
    header = {(name or "").strip().lower(): name for name in rows[0]} if rows else {}
    columns = {header[alias]: name for alias, name in clinical.COLUMNS.items() if alias in header}
    if "image" not in header or not columns:
        raise InputRefused(
            f"{path.name} needs rows, a column image and some of the columns {', '.join(clinical.BY_NAME)}. It has "
            f"{', '.join(header) or 'no rows'}."
        )
    found: dict[str, clinical.Record] = {}
    problems = []
    for number, row in enumerate(rows, start=2):
        image = (row[header["image"]] or "").strip()
        try:
            if image in found:
                raise InputRefused("the image is named twice")
            found[image] = clinical.record({name: row[column] for column, name in columns.items()})
        except InputRefused as error:
            problems.append(f"line {number}: {error.message}")
    if problems:
        more = f"; and {len(problems) - NAMED} more lines" if len(problems) > NAMED else ""
        raise InputRefused(f"{path.name}: {'; '.join(problems[:NAMED])}{more}", code="clinical-value")
    return found


def _rows(path: Path) -> list[dict[str, str]]:
    try:
        text = read_bounded(path, limit=TABLE_BYTES).decode("utf-8-sig")
        return list(csv.DictReader(io.StringIO(text, newline=""), strict=True, restval=""))
    except OSError:
        raise InputRefused(f"{path} cannot be read. Give a CSV file in UTF-8.") from None
    except (UnicodeDecodeError, csv.Error):
        raise InputRefused(f"{path} is not a CSV file in UTF-8.") from None
