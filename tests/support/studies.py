"""Whole DICOM radiographs of drawn chests, a network that answers them, and the programs that judge DICOM files."""

import io
import json
import shutil
import subprocess
import warnings
from functools import cache
from pathlib import Path
from typing import Any

import pydicom
import pytest
from numpy.typing import NDArray
from pydicom.datadict import DicomDictionary, tag_for_keyword

from covid_xray.bundle.bundle import write_bundle
from support import drawing
from support.bundles import facts, network
from support.chests import lung_facts, lung_network

CR, DX = "1.2.840.10008.5.1.4.1.1.1", "1.2.840.10008.5.1.4.1.1.1.1"
RESULT_CLASSES = {
    "1.2.840.10008.5.1.4.1.1.7": "sc",
    "1.2.840.10008.5.1.4.1.1.88.34": "sr",
    "1.2.840.10008.5.1.4.1.1.88.33": "comprehensive",
    "1.2.840.10008.5.1.4.1.1.88.59": "ko",
    "1.2.840.10008.5.1.4.1.1.104.1": "pdf",
    "1.2.840.10008.5.1.4.1.1.66.4": "seg",
    "1.2.840.10008.5.1.4.1.1.11.1": "gsps",
}
# Modules made of macros under conditions, which highdicom's edition does not tell; dciodvfy judges them.
_BY_CONDITION = ("sr-document-content", "segmentation-multi-frame-functional-groups")
PATIENT = {
    "PatientName": "Phantom^Nobody",
    "PatientID": "P-1",
    "PatientBirthDate": "19700131",
    "PatientSex": "F",
    "PatientAge": "056Y",
    "StudyDate": "20261126",
    "StudyTime": "101500",
    "StudyID": "S1",
    "AccessionNumber": "A-1",
    "ReferringPhysicianName": "",
    "SeriesNumber": 1,
    "InstanceNumber": 1,
    "ViewPosition": "PA",
    "BodyPartExamined": "CHEST",
    "PatientOrientation": ["L", "F"],
}


def film(
    pixels: NDArray[Any], *, number: int = 1, study: int = 1, inverted: bool = False, bits: int = 8, **tags: Any
) -> bytes:
    """The bytes of a DX file; `number` and `study` make its UIDs. A tag given as `None` is left out."""
    white = 2**bits - 1
    known = {
        **PATIENT,
        "SOPInstanceUID": f"1.2.826.0.1.3680043.10.1.{study}.1.{number}",
        "StudyInstanceUID": f"1.2.826.0.1.3680043.10.1.{study}",
        "SeriesInstanceUID": f"1.2.826.0.1.3680043.10.1.{study}.1",
        "SOPClassUID": DX,
        **tags,
    }
    if known["SOPClassUID"] == DX:
        known.setdefault("PresentationIntentType", "FOR PRESENTATION")
    known.setdefault("Modality", "CR" if known["SOPClassUID"] == CR else "DX")
    given = {keyword: value for keyword, value in known.items() if value is not None}
    photometric = "MONOCHROME1" if inverted else "MONOCHROME2"
    with warnings.catch_warnings(), pydicom.config.disable_value_validation():  # some tests want odd values
        warnings.simplefilter("ignore")
        drawn = drawing.dicom(white - pixels if inverted else pixels, bits=bits, photometric=photometric, **given)
        dataset = pydicom.dcmread(io.BytesIO(drawn))
        dataset.file_meta.MediaStorageSOPClassUID = dataset.SOPClassUID
        dataset.file_meta.MediaStorageSOPInstanceUID = dataset.SOPInstanceUID
        return drawing.written(dataset)


def make_lung_bundle(folder: Path, **others: Any) -> Path:
    """The small network of `bundles`, with one that finds dark lungs; it sees the whole picture."""
    write_bundle(folder, model=network(), facts=facts(lungs=lung_facts(), **others), lungs=lung_network())
    return folder


def require(*programs: str) -> None:
    """Skip where a program of Debian is not installed."""
    missing = [name for name in programs if shutil.which(name) is None]
    if missing:
        pytest.skip(f"needs {', '.join(missing)}: bash scripts/debian_packages.sh")


def errors_of(data: bytes, folder: Path) -> list[str]:
    """What dciodvfy calls an error in a DICOM file."""
    return [line for line in _said(["dciodvfy", "-new"], data, folder) if line.startswith("Error")]


def dumped(data: bytes, folder: Path) -> str:
    """A structured report as dcmtk's dsrdump reads it; it refuses what is none."""
    return "\n".join(_said(["dsrdump", "+Pl", "+Pu"], data, folder))


def _said(command: list[str], data: bytes, folder: Path) -> list[str]:
    path = folder / "judged.dcm"
    path.write_bytes(data)
    ran = subprocess.run([*command, str(path)], capture_output=True, text=True, check=False, timeout=60)
    assert command[0] != "dsrdump" or ran.returncode == 0, ran.stderr
    return (ran.stdout + ran.stderr).splitlines()


def broken_rules(data: bytes) -> dict[str, Any]:
    """What dicom-validator finds wrong with a DICOM file, by module; no module, no fault."""
    from dicom_validator.validator.error_handler import ValidationResultHandlerBase
    from dicom_validator.validator.iod_validator import IODValidator

    dataset = pydicom.dcmread(io.BytesIO(data))
    result = IODValidator(dataset, standard(), error_handler=ValidationResultHandlerBase()).validate()
    return {
        module: {str(tag): error.code.name for tag, error in found.items()}
        for module, found in result.module_errors.items()
        if module not in _BY_CONDITION
    }


@cache
def standard() -> Any:
    """The edition of the standard that highdicom carries, as dicom-validator takes it.

    dicom-validator would download one; this one is on the disk already. It knows modules and attributes with their
    types, but no conditions: what is required under a condition may be there (dciodvfy knows the conditions).
    """
    import highdicom
    from dicom_validator.validator.dicom_info import DicomInfo

    folder = Path(highdicom.__file__).parent / "_standard"
    classes, usage, attributes = (
        json.loads((folder / f"{name}.json").read_text())
        for name in ("sop_class_iod_map", "iod_module_map", "module_attribute_map")
    )
    wanted = {uid: classes[uid] for uid in RESULT_CLASSES}
    parts = {part["key"] for iod in wanted.values() for part in usage[iod]}
    return DicomInfo(
        dictionary=_dictionary(),
        iods={uid: {"title": iod, "modules": _usage(usage[iod]), "group_macros": {}} for uid, iod in wanted.items()},
        modules={name: _module(attributes[name]) for name in parts},
    )


def _usage(parts: list[dict[str, str]]) -> dict[str, Any]:
    return {part["key"]: {"ref": part["key"], "use": "M" if part["usage"] == "M" else "U"} for part in parts}


def _module(attributes: list[dict[str, Any]]) -> dict[str, Any]:
    found: dict[str, Any] = {}
    for attribute in attributes:
        if not all(map(tag_for_keyword, (*attribute["path"], attribute["keyword"]))):
            continue  # repeating groups, which we have none of
        place = found
        for keyword in attribute["path"]:
            place = place.setdefault(_tag(keyword), {"name": keyword, "type": "3"}).setdefault("items", {})
        kind = attribute["type"] if attribute["type"] in ("1", "2") else "3"
        place.setdefault(_tag(attribute["keyword"]), {"name": attribute["keyword"]})["type"] = kind
    return found


def _tag(keyword: str) -> str:
    tag = tag_for_keyword(keyword)
    assert tag is not None, keyword
    return f"({tag >> 16:04X},{tag & 0xFFFF:04X})"


def _dictionary() -> dict[str, Any]:
    return {
        f"({tag >> 16:04X},{tag & 0xFFFF:04X})": {"name": name, "vr": vr, "vm": vm, "prop": retired}
        for tag, (vr, vm, name, retired, _) in DicomDictionary.items()
    }
