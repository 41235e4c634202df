"""Bring the bytes of a DICOM file into one form: preamble, meta header, explicit or implicit VR, not deflated.

Nothing is parsed before the transfer syntax is accepted, so that a deflated file is inflated under a limit.
"""

import re
import struct
import zlib
from collections.abc import Iterable
from itertools import pairwise
from typing import TYPE_CHECKING

from covid_xray.errors import BadImage
from covid_xray.images import headers
from covid_xray.limits import Limits

if TYPE_CHECKING:
    from pydicom.dataset import Dataset

IMPLICIT, EXPLICIT, DEFLATED = "1.2.840.10008.1.2", "1.2.840.10008.1.2.1", "1.2.840.10008.1.2.1.99"
NATIVE = frozenset({IMPLICIT, EXPLICIT})  # little endian
RLE = "1.2.840.10008.1.2.5"
JPEG_EXTENDED = "1.2.840.10008.1.2.4.51"
JPEG = frozenset(
    {
        "1.2.840.10008.1.2.4.50",  # baseline, 8 bits
        JPEG_EXTENDED,  # 8 or 12 bits
        "1.2.840.10008.1.2.4.57",  # lossless
        "1.2.840.10008.1.2.4.70",  # lossless, first-order prediction
        "1.2.840.10008.1.2.4.80",  # JPEG-LS lossless
        "1.2.840.10008.1.2.4.81",  # JPEG-LS near-lossless
    }
)
_HTJ2K = frozenset(f"1.2.840.10008.1.2.4.{number}" for number in (201, 202, 203))  # lossless, with RPCL, lossy
J2K = frozenset({"1.2.840.10008.1.2.4.90", "1.2.840.10008.1.2.4.91", *_HTJ2K})  # JPEG 2000 lossless, lossy
LOSSY = frozenset(f"1.2.840.10008.1.2.4.{number}" for number in (50, 51, 81, 91, 203))
# Left out on purpose: big endian (retired), MPEG and HEVC (films), JPEG XL (no decoder that we may use).
TRANSFER_SYNTAXES = frozenset({*NATIVE, DEFLATED, RLE, *JPEG, *J2K})
_DIRECTORY, _STORAGE = "1.2.840.10008.1.3.10", "1.2.840.10008.5.1.4.1.1."
# Waveforms, presentation states, registrations and raw data, reports and key objects, documents, structures and plans.
_NO_IMAGES = ("9.", "11.", "66.", "67", "88.", "104.", "481.3", "481.5", "481.8")
NO_PREAMBLE, INVALID_VALUE = "no-preamble", "invalid-value"
WARNINGS = {  # of a file that is read although something in it is wrong
    NO_PREAMBLE: "The DICOM file has no preamble or no meta header.",
    INVALID_VALUE: "A DICOM value is not of its type; it was read as DCMTK does: the number at its beginning, or none.",
    "other-decoder": "The first decoder failed on the compressed pixels; another one read them.",
    "contradictory-polarity": "Presentation LUT Shape and photometric interpretation contradict each other.",
    "mirrored": "Patient Orientation says that left and right are exchanged.",
    "turned-back": "Patient Orientation says that the picture lay on its side or head; it was turned back.",
}
_PREAMBLE, _MAGIC = 128, b"DICM"
START = _PREAMBLE + len(_MAGIC)
_VRS = frozenset(
    b"AE AS AT CS DA DS DT FD FL IS LO LT OB OD OF OL OV OW PN SH SL SQ SS ST SV TM UC UI UL UN UR US UT UV".split()
)
_LONG_VRS = frozenset(b"OB OD OF OL OV OW SQ SV UC UN UR UT UV".split())  # four bytes of length after two of nothing
_FIRST_GROUPS, _LAST_GROUP = (0x0002, 0x0008), 0x0020
_NUMBER = re.compile(r"\s*([+-]?(?:\d+\.?\d*|\.\d+)(?:[eE][+-]?\d+)?)")


def is_dicom(head: bytes) -> bool:
    """Return whether a file begins as DICOM: by the word DICM, or without a preamble by three elements in order."""
    return head[_PREAMBLE:START] == _MAGIC or _begins_with_elements(head)


def holds_no_image(head: bytes) -> bool:
    """Return whether the meta header names a storage class of reports, presentation states, plans or an index."""
    found = re.search(rb"\x02\0\x02\0UI..([0-9.]+)", head[START:], re.DOTALL)
    uid = found[1].decode() if found else ""
    return uid == _DIRECTORY or (uid.startswith(_STORAGE) and uid.removeprefix(_STORAGE).startswith(_NO_IMAGES))


def normalise(data: bytes, *, limits: Limits) -> tuple[bytes, str, tuple[str, ...]]:
    """Return the file with preamble and meta header, its transfer syntax (not deflated), and the codes of warnings.

    Raises:
        BadImage: `unsupported-transfer-syntax`, `truncated`, `not-an-image`; `too-large`, `damaged` for a deflated one.
    """
    if not is_dicom(data):
        raise BadImage("Not a DICOM file.", code="not-an-image")
    warnings = () if data[_PREAMBLE:START] == _MAGIC else (NO_PREAMBLE,)
    start = 0 if warnings else START
    syntax, body = _read_meta(data, start)
    if syntax and syntax not in TRANSFER_SYNTAXES:
        raise unsupported(syntax)
    if not syntax:
        syntax, warnings = _guess_syntax(data[body : body + 8]), (NO_PREAMBLE,)
    elif syntax == DEFLATED:
        return _with_meta(EXPLICIT, _inflate(data[body:], limits=limits)), EXPLICIT, warnings
    return (_with_meta(syntax, data[body:]) if warnings else data), syntax, warnings


def unsupported(syntax: str) -> BadImage:
    """Make the refusal of a transfer syntax; it is named where it is one of the standard."""
    from pydicom.uid import UID

    name = UID(syntax).name
    named = f": {name}" if name and name != syntax else ""
    return BadImage(
        f"Unsupported DICOM transfer syntax{named}. Accepted: uncompressed little endian, deflated, RLE, JPEG, "
        "JPEG-LS, JPEG 2000, HTJ2K.",
        code="unsupported-transfer-syntax",
    )


def transfer_syntax(data: bytes) -> str:
    """Read the transfer syntax UID from the meta header alone; "" if it has none. Raises `BadImage` (`truncated`)."""
    return _read_meta(data, START)[0]


def repair(dataset: "Dataset") -> bool:
    """Replace numbers that pydicom cannot convert, as DCMTK reads them; return whether there were any.

    `2048,0` is 2048, the number that it begins with; a value without one is left out.
    """
    from pydicom.datadict import dictionary_VR
    from pydicom.dataelem import DataElement

    found = False
    for tag in list(dataset.keys()):
        value: object = None
        try:
            element = dataset[tag]
            if element.VR == "SQ":
                found |= sum(repair(item) for item in element.value) > 0
                continue
            value = element.value
            if element.VR not in ("DS", "IS") or not _holds_text(value):
                continue
        except Exception:  # pydicom raises nearly every type
            value = getattr(dataset.get_item(tag), "value", None)
        found = True
        numbers = _leading_numbers(value) if dictionary_VR(tag) in ("DS", "IS") else []
        del dataset[tag]
        if numbers:
            dataset[tag] = DataElement(tag, "FD", numbers)
    return found


def _holds_text(value: object) -> bool:
    parts = [value] if isinstance(value, str) or not isinstance(value, Iterable) else value
    return any(isinstance(part, str) and part for part in parts)


def _leading_numbers(value: object) -> list[float]:
    if isinstance(value, bytes):
        value = value.decode("latin-1").split("\\")
    parts = [value] if isinstance(value, str) else list(value) if isinstance(value, Iterable) else []
    matches = [_NUMBER.match(str(part)) for part in parts]
    return [float(match[1]) for match in matches if match] if all(matches) else []


def _read_meta(data: bytes, offset: int) -> tuple[str, int]:
    """Return the transfer syntax of the meta header, "" if it is not stated, and where the data set begins."""
    syntax = ""
    while offset + 8 <= len(data):
        group, element, kind, length = struct.unpack_from("<HH2sH", data, offset)
        if group != 2:
            return syntax, offset
        offset += 8
        if kind in _LONG_VRS:
            if offset + 4 > len(data):
                break
            length = struct.unpack_from("<I", data, offset)[0]
            offset += 4
        if element == 0x0010:
            syntax = data[offset : offset + length].rstrip(b"\0 ").decode("ascii", "replace")
        offset += length
    if syntax:  # a data set of nothing
        return syntax, min(offset, len(data))
    raise headers.truncated()


def _begins_with_elements(head: bytes) -> bool:
    """Return whether at least three elements follow each other from the first byte, in the order of their tags."""
    tags: list[tuple[int, int]] = []
    offset = 0
    while len(tags) < 3 and offset + 12 <= len(head):
        group, element, kind, length = struct.unpack_from("<HH2sH", head, offset)
        if not tags and (group not in _FIRST_GROUPS or element > 0x18):
            return False
        tags.append((group, element))
        if kind in _LONG_VRS:
            length = struct.unpack_from("<I", head, offset + 8)[0] + 4
        elif kind not in _VRS:
            length = struct.unpack_from("<I", head, offset + 4)[0]
        offset += 8 + length
    return len(tags) == 3 and tags[-1][0] <= _LAST_GROUP and all(before < after for before, after in pairwise(tags))


def _guess_syntax(head: bytes) -> str:
    return EXPLICIT if head[4:6] in _VRS else IMPLICIT


def _with_meta(syntax: str, body: bytes) -> bytes:
    uid = syntax.encode() + b"\0" * (len(syntax) % 2)
    meta = b"\2\0\x10\0UI" + struct.pack("<H", len(uid)) + uid
    length = b"\2\0\0\0UL\4\0" + struct.pack("<I", len(meta))
    return b"".join([bytes(_PREAMBLE), _MAGIC, length, meta, body])


def _inflate(body: bytes, *, limits: Limits) -> bytes:
    inflate = zlib.decompressobj(wbits=-15)
    try:
        plain = inflate.decompress(body, limits.upload_bytes + 1)
    except zlib.error:
        raise BadImage("The deflated DICOM data set cannot be read.", code="damaged") from None
    if len(plain) > limits.upload_bytes:
        raise BadImage(f"The file is larger than {limits.upload_bytes:,} bytes when decompressed.", code="too-large")
    if not inflate.eof:
        raise headers.truncated()
    return plain
