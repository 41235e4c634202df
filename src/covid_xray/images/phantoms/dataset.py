"""Draw a synthetic data set of three hospitals in PNG, JPEG and DICOM, with the faults of real sets.

Hospitals differ in their class shares and in the look of their images, so that searches for shortcuts find some.
"""

import csv
import io
import shutil
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageDraw, ImageFilter, ImageFont

from covid_xray.errors import UsageError
from covid_xray.files import write_text
from covid_xray.images.phantoms.disease import FINDINGS, Anatomy
from covid_xray.images.phantoms.phantom import draw, draw_anatomy, draw_exposure

COLUMNS = ("image", "label", "patient_id", "source", "view", "age", "sex", "license")
SUFFIXES = {"dcm": ".dcm", "png": ".png", "png16": ".png", "rgb": ".png", "jpg": ".jpg"}
BROKEN = ("truncated.jpg", "page.png", "empty.png", "note.dcm")


@dataclass(frozen=True)
class Hospital:
    """Look of one hospital's images, and its shares of classes and formats."""

    name: str
    mix: tuple[float, float, float]  # shares of FINDINGS
    gamma: float
    blur: float  # pixels
    marker: str
    border: float  # share of the side that collimation leaves black
    formats: tuple[str, ...]


HOSPITALS = (
    Hospital("north", (0.45, 0.30, 0.25), 0.95, 0.0, "L", 0.000, ("dcm", "dcm", "png16")),
    Hospital("harbour", (0.30, 0.40, 0.30), 1.15, 0.6, "R", 0.020, ("png", "png", "rgb")),
    Hospital("valley", (0.25, 0.30, 0.45), 0.85, 1.0, "", 0.035, ("jpg",)),
)


@dataclass(frozen=True)
class Summary:
    """Counts of the files: `files` (rows of the manifest) = `good` + `copies` + `recompressed` + `broken`."""

    files: int
    patients: int
    good: int
    copies: int
    recompressed: int
    broken: int


@dataclass(frozen=True)
class _Patient:
    number: int
    anatomy: Anatomy
    finding: str
    hospital: Hospital
    sex: str
    age: int

    @property
    def id(self) -> str:
        return f"P{self.number:04}"


def draw_dataset(
    root: Path,
    *,
    patients: int = 240,
    seed: int = 0,
    size: int = 320,
    clean: bool = False,
    progress: Callable[[int, int], None] | None = None,
) -> Summary:
    """Draw one or two images for each patient into `root`/images and write `root`/manifest.csv.

    Args:
        root: a new folder.
        patients: number of patients.
        seed: the same seed draws the same bytes.
        size: side in pixels.
        clean: leave out the faults: identical and re-compressed copies under other names and patients, a truncated
            JPEG, a web page called .png, an empty file, a text called .dcm.
        progress: called with (patients done, patients).

    Raises:
        UsageError: fewer patients than hospitals, unless `clean`.
    """
    if not clean and patients < len(HOSPITALS):
        raise UsageError(f"Too few patients: {patients}. A set with faults needs at least {len(HOSPITALS)}.")
    random = np.random.default_rng(seed)
    (root / "images").mkdir(parents=True)
    rows: list[dict[str, str]] = []
    for done, patient in enumerate(_patients(patients, random), start=1):
        rows += [_expose(root, patient, number, size, random) for number in range(1 + (random.random() < 0.35))]
        if progress:
            progress(done, patients)
    good = len(rows)
    faults = [[] if clean else make(root, rows) for make in (_copies, _recompressed, _broken)]
    everything = rows + [row for made in faults for row in made]
    _write(root / "manifest.csv", [everything[i] for i in random.permutation(len(everything))])
    return Summary(len(everything), patients, good, *map(len, faults))


def _patients(count: int, random: np.random.Generator) -> Iterator[_Patient]:
    """Yield patients of the hospitals in turn, each hospital's classes in its shares and random order."""
    shares = [_shares(hospital, len(range(turn, count, len(HOSPITALS))), random)
              for turn, hospital in enumerate(HOSPITALS)]  # fmt: skip
    for number in range(count):
        turn = number % len(HOSPITALS)
        anatomy = draw_anatomy(random)
        age = int(random.integers(1, 10)) if anatomy.child else int(random.integers(20, 90))
        finding = shares[turn][number // len(HOSPITALS)]
        yield _Patient(number, anatomy, finding, HOSPITALS[turn], str(random.choice(["F", "M"])), age)


def _shares(hospital: Hospital, count: int, random: np.random.Generator) -> list[str]:
    """Return `count` shuffled findings in the hospital's mix, each class at least once where `count` allows it."""
    given = np.zeros(len(FINDINGS))
    findings = []
    for number in range(1, count + 1):
        chosen = int(np.argmax(np.array(hospital.mix) * number - given))
        given[chosen] += 1
        findings.append(FINDINGS[chosen])
    return [findings[i] for i in random.permutation(count)]


def _expose(root: Path, patient: _Patient, number: int, size: int, random: np.random.Generator) -> dict[str, str]:
    """Draw and store one image of a patient; return its row."""
    severity = 0.18 + 0.82 * float(random.beta(1.2, 1.3))
    shot = draw_exposure(random)
    picture = draw(patient.anatomy, finding=patient.finding, severity=severity, size=size, exposure=shot, seed=number)
    kind = str(random.choice(patient.hospital.formats))
    name = f"images/{patient.hospital.name}-{patient.number:04}-{number}{SUFFIXES[kind]}"
    view = picture.source.view or ""
    _store(root / name, _apply_look(picture.pixels.astype(np.uint8), patient.hospital), kind, patient, view)
    about = (patient.finding, patient.id, patient.hospital.name, view, str(patient.age), patient.sex, "CC0 (drawn)")
    return dict(zip(COLUMNS, (name, *about), strict=True))


def _apply_look(pixels: NDArray[np.uint8], hospital: Hospital) -> NDArray[np.uint8]:
    """Apply the hospital's gamma, blur, collimation and side marker."""
    table = (255 * (np.arange(256) / 255) ** hospital.gamma).round().astype(np.uint8)
    picture = Image.fromarray(table[pixels])
    if hospital.blur:
        picture = picture.filter(ImageFilter.GaussianBlur(hospital.blur))
    size, edge = picture.width, round(hospital.border * picture.width)
    pen = ImageDraw.Draw(picture)
    if edge:
        pen.rectangle([0, 0, size - 1, size - 1], outline=0, width=edge)
    if hospital.marker:
        place = (0.90 if hospital.marker == "L" else 0.05) * size
        pen.text((place, 0.05 * size), hospital.marker, fill=235, font=ImageFont.load_default(round(size / 16)))
    return np.asarray(picture)


def _store(path: Path, pixels: NDArray[np.uint8], kind: str, patient: _Patient, view: str) -> None:
    if kind == "dcm":
        path.write_bytes(to_dicom(pixels, patient_id=patient.id, inverted=patient.number % 2 == 0, view=view))
    elif kind == "png16":
        Image.fromarray(pixels.astype(np.uint16) * 257).save(path, "PNG")
    elif kind == "rgb":
        Image.fromarray(pixels).convert("RGB").save(path, "PNG")
    elif kind == "jpg":
        Image.fromarray(pixels).save(path, "JPEG", quality=90)
    else:
        Image.fromarray(pixels).save(path, "PNG")


def to_dicom(pixels: NDArray[np.uint8], *, patient_id: str, inverted: bool = False, view: str = "PA") -> bytes:
    """Write a DX object of 12 bits in 16 with a window, MONOCHROME1 when `inverted`; return its bytes."""
    import pydicom
    from pydicom.dataset import FileDataset, FileMetaDataset
    from pydicom.uid import DigitalXRayImageStorageForPresentation, ExplicitVRLittleEndian, generate_uid

    stored = ((pixels.astype(np.uint32) * 4095 + 127) // 255).astype(np.uint16)
    meta = FileMetaDataset()
    meta.MediaStorageSOPClassUID = DigitalXRayImageStorageForPresentation
    meta.MediaStorageSOPInstanceUID = generate_uid(entropy_srcs=[patient_id, pixels.tobytes().hex()[:4096]])
    meta.TransferSyntaxUID = ExplicitVRLittleEndian
    dataset = FileDataset("", {}, file_meta=meta, preamble=b"\0" * 128)
    dataset.SOPClassUID, dataset.SOPInstanceUID = meta.MediaStorageSOPClassUID, meta.MediaStorageSOPInstanceUID
    dataset.PatientName, dataset.PatientID, dataset.Modality = "Phantom^Nobody", patient_id, "DX"
    dataset.StudyInstanceUID = generate_uid(entropy_srcs=["study", patient_id])
    dataset.SeriesInstanceUID = generate_uid(entropy_srcs=["series", patient_id])
    dataset.ViewPosition, dataset.BodyPartExamined, dataset.PresentationIntentType = view, "CHEST", "FOR PRESENTATION"
    dataset.Rows, dataset.Columns = pixels.shape
    dataset.SamplesPerPixel, dataset.PixelRepresentation = 1, 0
    dataset.BitsAllocated, dataset.BitsStored, dataset.HighBit = 16, 12, 11
    dataset.PhotometricInterpretation = "MONOCHROME1" if inverted else "MONOCHROME2"
    dataset.WindowCenter, dataset.WindowWidth = 2048, 4096
    dataset.PixelSpacing = [1.0, 1.0]
    dataset.PixelData = (4095 - stored if inverted else stored).astype("<u2").tobytes()
    buffer = io.BytesIO()
    pydicom.dcmwrite(buffer, dataset, enforce_file_format=True)
    return buffer.getvalue()


def _copies(root: Path, rows: list[dict[str, str]]) -> list[dict[str, str]]:
    """Copy three files under other names, one of them as another patient."""
    made = []
    for number, row in enumerate(rows[5::40][:3]):
        name = f"images/copy-{number}{Path(row['image']).suffix}"
        shutil.copyfile(root / row["image"], root / name)
        made.append({**row, "image": name, "patient_id": row["patient_id"] if number else "X0001"})
    return made


def _recompressed(root: Path, rows: list[dict[str, str]]) -> list[dict[str, str]]:
    """Save three JPEG files again, smaller and at lower quality, as other patients."""
    made = []
    for number, row in enumerate([row for row in rows if row["image"].endswith(".jpg")][3::11][:3]):
        name = f"images/again-{number}.jpg"
        with Image.open(root / row["image"]) as picture:
            picture.resize((256, 256), Image.Resampling.LANCZOS).save(root / name, quality=70)
        made.append({**row, "image": name, "patient_id": f"Y{number:04}"})
    return made


def _broken(root: Path, rows: list[dict[str, str]]) -> list[dict[str, str]]:
    source = next(row for row in rows if row["image"].endswith(".jpg"))
    whole = (root / source["image"]).read_bytes()
    page = b"<!DOCTYPE html><title>404 Not Found</title>"
    contents = (whole[: len(whole) // 2], page, b"", b"see the other folder\n")
    made: list[dict[str, str]] = []
    for name, content in zip(BROKEN, contents, strict=True):
        (root / "images" / name).write_bytes(content)
        made.append({**source, "image": f"images/{name}", "patient_id": f"Z{len(made):04}"})
    return made


def _write(path: Path, rows: list[dict[str, str]]) -> None:
    buffer = io.StringIO()
    writer = csv.DictWriter(buffer, COLUMNS, lineterminator="\n")
    writer.writeheader()
    writer.writerows(rows)
    write_text(path, buffer.getvalue())
