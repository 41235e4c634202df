"""Read what the tags of a DICOM image say of view, body part and orientation, in the spellings that devices write."""

import contextlib
import hashlib
import re
import unicodedata
from typing import TYPE_CHECKING

import numpy as np

from covid_xray.images.radiograph import ImageSource

if TYPE_CHECKING:
    from pydicom.dataset import Dataset

FRONTAL = frozenset({"PA", "AP", "FRONTAL"})
TAGS = (
    *("Modality", "ViewPosition", "ViewCodeSequence", "PixelSpacing", "ImagerPixelSpacing", "Manufacturer"),
    *("PatientOrientation", "ImageLaterality", "Laterality", "PresentationIntentType", "SOPClassUID"),
    *("PatientID", "IssuerOfPatientID"),
)
PLACE_TAGS = ("BodyPartExamined", "AnatomicRegionSequence")
# PS3.3 C.8.11.5, and what many machines write instead; free text stays out
_VIEWS = frozenset({"AP", "PA", "LL", "RL", "RLD", "LLD", "RLO", "LLO", "LAT", "LATERAL"})
_MODALITIES = frozenset(  # PS3.3 C.7.3.1.1.1, those of pictures
    {
        *("CR", "DX", "RG", "XA", "RF", "MG", "IO", "PX", "CT", "MR", "US", "NM", "PT"),
        *("ES", "XC", "GM", "SM", "OP", "OCT", "ECG", "RTIMAGE", "RTDOSE", "SC", "OT"),
    }
)
_VENDORS = frozenset(  # free text may hold anything, so only these first words leave the file
    {
        *("AGFA", "CANON", "CARESTREAM", "FUJI", "FUJIFILM", "GE", "GEMS", "HOLOGIC", "KODAK", "KONICA", "PHILIPS"),
        *("SAMSUNG", "SHIMADZU", "SIEMENS", "TOSHIBA", "VIEWORKS"),
    }
)
_RAW_CLASSES = frozenset(f"1.2.840.10008.5.1.4.1.1.1.{number}.1" for number in (1, 2, 3))  # DX, MG, IO for processing

_PA = frozenset(["PA", "POSTEROANTERIOR", "POSTERIORANTERIOR", "POSTEROANTERIEUR", "POSTERIOROANTERIOR"])
_AP = frozenset(["AP", "ANTEROPOSTERIOR", "ANTERIORPOSTERIOR", "ANTEROPOSTERIEUR", "ANTERIOROPOSTERIOR"])
_FACE = frozenset(["FRONTAL", "FRONTALE", "FRONT", "FACE", "PAAP", "APPA"])
_SIDE = ("LAT", "PROFIL", "PERFIL", "SEITLICH", "SIDE", "SIDA")  # beginnings of words
_POSTURE = frozenset(  # words beside the view that do not change it
    {
        *("ERECT", "UPRIGHT", "STANDING", "SUPINE", "SEMI", "SEMIERECT", "SITTING", "LYING", "PRONE"),
        *("PORTABLE", "MOBILE", "BEDSIDE", "BED", "GRID", "INSPIRATION", "EXPIRATION", "STEHEND", "LIEGEND"),
        *("SITZEND", "DEBOUT", "COUCHE", "ASSIS", "PIE", "SUPINO", "VIEW", "PROJECTION", "CHEST", "THORAX"),
        *("TORAX", "CXR", "DX", "CR"),
    }
)
_FRONTAL_CODES = {  # CID 4010, SNOMED CT and the SNOMED RT before it
    **dict.fromkeys(("399348003", "R-10206"), "AP"),
    **dict.fromkeys(("272479007", "R-40888", "R-10214"), "PA"),
    **dict.fromkeys(("399033003", "R-10202"), "FRONTAL"),
}
_LATERAL_CODES = {
    **dict.fromkeys(("399173006", "R-10236"), "LL"),
    **dict.fromkeys(("399198007", "R-10232"), "RL"),
}
_CHEST = (  # parts of words, without accents
    *("CHEST", "THORAX", "THORAC", "TORAX", "TORACE", "TORAKS", "LUNG", "PULM", "POLMON", "POUMON", "CXR", "THX"),
    *("BRUST", "BORSTKAS", "BRYSTKASSE", "BROSTKORG", "LONGEN", "KEUHKO", "PIERSIOW", "PLUC", "PLICE", "HRUDNIK"),
    *("MELLKAS", "TUDO", "GOGUS", "AKCIGER", "ΘΩΡΑΚ", "ГРУД", "ЛЕГК", "胸", "肺", "흉부", "가슴", "صدر"),
)
_NO_CHEST = ("SPINE", "WIRBEL", "VERTEBR", "COLUMN", "BRUSTBEIN", "MAMMA", "PALAT")
_CHEST_CODES = frozenset(  # CID 4031: chest, lung, and regions that include the chest
    {
        *("816094009", "51185008", "43799004", "39607008", "86598002", "416550000", "417437006", "416775004"),
        *("416152001", "416319003", "T-D3000", "T-28000", "T-280A0", "R-FAB55", "R-FAB52", "R-FAB56"),
        *("R-FAB53", "R-FAB54", "CHEST", "LUNG"),
    }
)
_UNKNOWN = frozenset({"", "UNKNOWN", "UNDEFINED", "NONE", "NA", "OTHER", "NOTSPECIFIED", "UNSPECIFIED"})
_NO_DECOMPOSITION = str.maketrans("ŁØĐİı", "LODII")
_OPPOSITE = {"L": "R", "R": "L", "H": "F", "F": "H"}


def is_for_processing(dataset: "Dataset") -> bool:
    """Return whether the pixels are raw, of a detector, not processed for people to look at."""
    intent = _plain(_text(dataset, "PresentationIntentType"))
    return intent == "FORPROCESSING" or _text(dataset, "SOPClassUID") in _RAW_CLASSES


def view_of(dataset: "Dataset") -> str | None:
    """Return `PA`, `AP`, `FRONTAL`, `LL`, `RL`, another view of PS3.3, `OTHER`, or None where no tag states a view.

    A code of a view that is not frontal wins over View Position, which many devices leave at the last film's.
    """
    coded, stated = _coded_view(dataset), _stated_view(_text(dataset, "ViewPosition"))
    if coded is not None and (coded not in FRONTAL or stated is None or stated == "FRONTAL"):
        view: str | None = coded
    elif stated is None and _axis(dataset)[:1] in (("A",), ("P",)):
        view = "LATERAL"
    else:
        view = stated
    if view in ("LAT", "LATERAL"):
        side = _plain(_text(dataset, "ImageLaterality") or _text(dataset, "Laterality"))
        return {"L": "LL", "R": "RL"}.get(side, view)
    return view


def is_chest(dataset: "Dataset") -> bool | None:
    """Return whether Body Part Examined or Anatomic Region names the chest; None where neither says a part."""
    codes, meanings = _codes(dataset, "AnatomicRegionSequence")
    if codes & _CHEST_CODES or any(_names_chest(meaning) for meaning in meanings):
        return True
    part = _text(dataset, "BodyPartExamined")
    if _plain(part) in _UNKNOWN:
        return False if codes else None
    return _names_chest(part)


def orientation(dataset: "Dataset") -> tuple[int, bool]:
    """Return the quarter turns to the left that bring a frontal film upright, and whether it is mirrored.

    By Patient Orientation, the directions of a row and of a column: upright is left and foot. (0, False) where it is
    absent, or names other directions.
    """
    row, column = (*_axis(dataset), "", "")[:2]
    for turns in range(4):
        if column == "F" and row in ("L", "R"):
            return turns, row == "R"
        row, column = column, _OPPOSITE.get(row, "")
    return 0, False


def source_of(dataset: "Dataset", *, photometric: str, warnings: tuple[str, ...] = ()) -> ImageSource:
    """Return the facts of the file that later steps use; no other text of the tags leaves the file."""
    view, modality = view_of(dataset), _text(dataset, "Modality").upper()
    return ImageSource(
        format="DICOM",
        photometric=photometric,
        view=view if view in _VIEWS else None,
        spacing=_spacing(dataset),
        modality=modality if modality in _MODALITIES else None,
        vendor=_vendor(_text(dataset, "Manufacturer").upper()),
        warnings=warnings,
        patient=_patient(dataset),
    )


def _patient(dataset: "Dataset") -> str | None:
    """Hash the patient's number and who gave it, so that two files of one patient are known as such."""
    number, issuer = _text(dataset, "PatientID"), _text(dataset, "IssuerOfPatientID")
    return hashlib.sha256(f"{issuer}\0{number}".encode("utf-8", "replace")).hexdigest() if number else None


def _text(dataset: "Dataset", keyword: str) -> str:
    value = dataset.get(keyword)
    if isinstance(value, bytes):
        value = value.decode("latin-1")
    if value is not None and not isinstance(value, str) and hasattr(value, "__len__"):
        value = value[0] if len(value) else None
    return "" if value is None else str(value).strip("\0 ")


def _words(text: str) -> list[str]:
    """Return the words of a text in capitals without accents; UTF-8 that was read as Latin-1 is mended."""
    with contextlib.suppress(ValueError):
        text = text.encode("latin-1").decode("utf-8")
    folded = unicodedata.normalize("NFKD", text.upper().translate(_NO_DECOMPOSITION))
    return re.findall(r"\w+", "".join(each for each in folded if not unicodedata.combining(each)).replace("_", " "))


def _plain(text: str) -> str:
    return "".join(_words(text))


def _stated_view(text: str) -> str | None:
    if text.upper() in _VIEWS:
        return text.upper()
    words = _words(text)
    if not words:
        return None
    if any(word.startswith(_SIDE) for word in words):
        return "LATERAL"
    rest = "".join(word for word in words if word not in _POSTURE and not word.isdigit())
    return "PA" if rest in _PA else "AP" if rest in _AP else "FRONTAL" if rest in _FACE else "OTHER"


def _coded_view(dataset: "Dataset") -> str | None:
    codes, meanings = _codes(dataset, "ViewCodeSequence")
    known = {**_FRONTAL_CODES, **_LATERAL_CODES}
    found = next((known[code] for code in codes if code in known), None)
    if found or not codes | meanings:
        return found
    stated = {_stated_view(meaning) for meaning in meanings} - {None}
    return next(iter(stated), "OTHER")


def _codes(dataset: "Dataset", keyword: str) -> tuple[set[str], set[str]]:
    """Return the values and the meanings of a code sequence."""
    items = dataset.get(keyword) or ()
    values, meanings = ({_text(item, name) for item in items} - {""} for name in ("CodeValue", "CodeMeaning"))
    return values | {_text(item, "LongCodeValue") for item in items} - {""}, meanings


def _names_chest(text: str) -> bool:
    plain = _plain(text)
    return any(part in plain for part in _CHEST) and not any(part in plain for part in _NO_CHEST)


def _axis(dataset: "Dataset") -> tuple[str, ...]:
    """Return the first letters of Patient Orientation: directions of a row and of a column."""
    value = dataset.get("PatientOrientation")
    parts = value.split("\\") if isinstance(value, str) else value or ()
    return tuple(str(part).strip().upper()[:1] for part in parts)


def _vendor(text: str) -> str | None:
    """Return the first word where it is a known vendor, `OTHER` for any other text, `None` for none."""
    words = re.findall(r"[A-Z]+", text)
    return (words[0] if words[0] in _VENDORS else "OTHER") if words else None


def _spacing(dataset: "Dataset") -> tuple[float, float] | None:
    """Return the pixel spacing in mm, at the patient if known, else at the detector."""
    for keyword in ("PixelSpacing", "ImagerPixelSpacing"):
        values = dataset.get(keyword)
        if values is not None and not isinstance(values, str) and len(values) == 2:
            row, column = float(values[0]), float(values[1])
            if np.isfinite(row) and np.isfinite(column) and row > 0 and column > 0:
                return row, column
    return None
