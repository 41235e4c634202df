"""What the public data sets say in a way that no column mapping covers: a record in, the same in our words out."""

import re
from pathlib import Path, PurePosixPath

import pandas as pd

from covid_xray.data.manifest.importers import Record

COHEN_COLUMNS = {
    "patient_id": "patientid",
    "offset_days": "offset",
    "sex": "sex",
    "age": "age",
    "survival": "survival",
    "temperature": "temperature",
    "view": "view",
    "modality": "modality",
}
FINDINGS = (
    (r"covid", "covid"),
    (r"no finding|^normal", "normal"),
    (r"todo|^unknown|^$", ""),
    (r"bacteri|strepto|staph|klebsiella|e\.? ?coli|legionella|mycoplasma|chlamydophila|nocardia|mrsa", "bacterial"),
    (r"sars|mers|influenza|varicella|herpes|h1n1|viral|virus", "virus"),
    (r".", "other"),
)
NIH_FINDINGS = ((r"no finding", "normal"), (r"pneumonia", "pneumonia"), (r".", "other"))


def cxnet(record: Record) -> Record:
    """`280-.jpg`: nothing abnormal to see; `899p.jpg`: a child; the PCR result goes into the finding."""
    stem = PurePosixPath(record["image"]).stem
    pcr = f"; PCR {record['pcr_test']}" if record.get("pcr_test") else ""
    marks = ("; nothing abnormal on the X-ray" if "-" in stem else "") + ("; child" if "p" in stem else "")
    return record | {"finding": f"COVID-19{pcr}{marks}"}


def hannover(record: Record) -> Record:
    """Offsets count from the image to the event, ours from the event to the image; a table of events has no "no"."""
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
    """The cause is in the file name; a child is known as `person123`, or by the series number `IM-0115`."""
    cause = re.search(r"virus|bacteria", PurePosixPath(record["image"]).name, re.IGNORECASE)
    healthy = record["image"].lower().split("/")[-2] == "normal"
    return record | {"finding": "normal" if healthy else (cause.group(0).lower() if cause else ""), "view": "AP"}


def darkcovidnet(record: Record) -> Record:
    """The NIH half is named by patient and film, and has NIH's terms; the rest is from ieee8023, terms not stated."""
    nih = bool(record["patient_id"])
    return record | {"license": "NIH: free to use, acknowledgement asked" if nih else "not stated"}


def figure1(record: Record) -> Record:
    """`COVID-00003a` and `COVID-00003b` are two images of one patient."""
    return record | {"patient_id": re.sub(r"^(COVID-\d+)[a-z]$", r"\1", record.get("patient_id", ""))}


def nih(record: Record) -> Record:
    """The table has patient 61, the file names 00000061."""
    return record | {"patient_id": record.get("patient_id", "").zfill(8)}


COVIDX_ORIGINS = {"cohen": "ieee8023", "fig1": "figure1", "actmed": "actualmed"}


def covidx(record: Record) -> Record:
    """Patients keep the ids of the set that they came from, so that they meet when that set is indexed too."""
    origin = record.get("origin", "").lower()
    part = "test" if PurePosixPath(record["_table"]).name.startswith("test") else "train"
    known = COVIDX_ORIGINS.get(origin, origin or "covidx")
    row = figure1(record) if origin == "fig1" else record
    return row | {"source": f"covidx-{origin}" if origin else "covidx", "_prefix": known, "split": part}


def read_covidx(path: Path) -> pd.DataFrame:
    """Label lines `patient file class origin`; file names with a space make five tokens, and older files have three."""
    rows = []
    for line in path.read_text(encoding="utf-8").splitlines():
        tokens = line.split()
        if len(tokens) < 3:
            continue
        origin = tokens.pop() if len(tokens) > 3 else ""
        rows.append((tokens[0], " ".join(tokens[1:-1]), tokens[-1], origin))
    return pd.DataFrame(rows, columns=["patient", "file", "class", "origin"], dtype=str)
