"""Convert what public data sets state in their own way, which no column mapping covers."""

import re
from pathlib import Path, PurePosixPath

import pandas as pd

from covid_xray.data.manifest.importers import Record


def cxnet(record: Record) -> Record:
    """Add the marks in the file name (`280-.jpg`: no abnormality; `899p.jpg`: a child) and the PCR to the finding."""
    stem = PurePosixPath(record["image"]).stem
    pcr = f"; PCR {record['pcr_test']}" if record.get("pcr_test") else ""
    marks = ("; nothing abnormal on the X-ray" if "-" in stem else "") + ("; child" if "p" in stem else "")
    return record | {"finding": f"COVID-19{pcr}{marks}"}


def hannover(record: Record) -> Record:
    """Reverse the offsets, which count from the image to the event; in a table of events, absent is not "no"."""
    offset = record.get("offset_days", "")
    days = f"{-float(offset):g}" if offset else ""
    return record | {
        "finding": "COVID-19",
        "offset_days": "0" if days == "-0" else days,
        "view": record.get("view", "").upper(),
        "went_icu": "Y" if record.get("went_icu") else "",
        "survival": "N" if record.get("survival") else "",
    }


def kermany(record: Record) -> Record:
    """Read the cause from the file name; children are named `person123`, or by the series number `IM-0115`."""
    cause = re.search(r"virus|bacteria", PurePosixPath(record["image"]).name, re.IGNORECASE)
    healthy = record["image"].lower().split("/")[-2] == "normal"
    return record | {"finding": "normal" if healthy else (cause.group(0).lower() if cause else ""), "view": "AP"}


def darkcovidnet(record: Record) -> Record:
    """Set NIH's terms for the images named by patient and film; the others are from ieee8023, terms not stated."""
    nih = bool(record["patient_id"])
    return record | {"license": "NIH: free to use, acknowledgement asked" if nih else "not stated"}


def figure1(record: Record) -> Record:
    """Remove the letter that numbers the images of one patient: `COVID-00003a` and `COVID-00003b`."""
    return record | {"patient_id": re.sub(r"^(COVID-\d+)[a-z]$", r"\1", record.get("patient_id", ""))}


def nih(record: Record) -> Record:
    """Pad the patient id to eight digits as in the file names: 61 is 00000061."""
    return record | {"patient_id": record.get("patient_id", "").zfill(8)}


COVIDX_ORIGINS = {"cohen": "ieee8023", "fig1": "figure1", "actmed": "actualmed"}


def covidx(record: Record) -> Record:
    """Keep the patient ids of the original data set, so that they match when that set is indexed too."""
    origin = record.get("origin", "").lower()
    part = "test" if PurePosixPath(record["_table"]).name.startswith("test") else "train"
    known = COVIDX_ORIGINS.get(origin, origin or "covidx")
    row = figure1(record) if origin == "fig1" else record
    return row | {"source": f"covidx-{origin}" if origin else "covidx", "_prefix": known, "split": part}


def read_covidx(path: Path) -> pd.DataFrame:
    """Read label lines `patient file class [origin]`; file names may hold spaces."""
    rows = []
    for line in path.read_text(encoding="utf-8").splitlines():
        tokens = line.split()
        if len(tokens) < 3:
            continue
        origin = tokens.pop() if len(tokens) > 3 else ""
        rows.append((tokens[0], " ".join(tokens[1:-1]), tokens[-1], origin))
    return pd.DataFrame(rows, columns=["patient", "file", "class", "origin"], dtype=str)
