"""An Excel workbook in, a table of text out; needs openpyxl, which comes with the training extra."""

import warnings
from pathlib import Path

import pandas as pd

from covid_xray.errors import BadManifest, MissingPackage

WORKBOOK_BYTES = 50 << 20


def read_xlsx(path: Path) -> pd.DataFrame:
    """The first sheet of a workbook, its first row as the header, every cell as text.

    Raises:
        MissingPackage: openpyxl is not installed.
        BadManifest: not a workbook, or one that is too large.
    """
    try:
        import openpyxl
    except ImportError:
        raise MissingPackage("expected openpyxl to read .xlsx files: pip install 'covid-xray[train]'") from None
    if path.stat().st_size > WORKBOOK_BYTES:
        raise BadManifest(
            f"expected a workbook of at most {WORKBOOK_BYTES:,} bytes. Received: {path.name}, a larger one"
        )
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # styles and extensions that are of no interest here
            book = openpyxl.load_workbook(path, read_only=True, data_only=True)
            rows = [["" if cell is None else str(cell).strip() for cell in row] for row in book.worksheets[0].values]
            book.close()
    except Exception:  # a damaged archive raises nearly anything
        raise BadManifest(f"expected {path.name} to be an Excel workbook. Received: a file that is not") from None
    if not rows:
        raise BadManifest(f"expected {path.name} to have a header row. Received: an empty sheet")
    width = len(rows[0])
    cells = [[*row, *[""] * width][:width] for row in rows[1:] if any(row)]
    return pd.DataFrame(cells, columns=rows[0], dtype=str)
