"""Decode DICOM bytes into one grey radiograph with pydicom.

Nothing is parsed before the transfer syntax is accepted, and no pixel is decoded before the size in the tags and in
the compressed stream is checked against the limits.
"""

import io
import re
import struct
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from covid_xray.errors import BadImage
from covid_xray.images import gdcm_codec, greyscale, headers
from covid_xray.images.radiograph import ImageSource, Radiograph
from covid_xray.limits import Limits

if TYPE_CHECKING:
    from pydicom.dataset import Dataset

_NATIVE = frozenset({"1.2.840.10008.1.2", "1.2.840.10008.1.2.1"})  # implicit and explicit VR, little endian
_RLE = "1.2.840.10008.1.2.5"
_JPEG_EXTENDED = "1.2.840.10008.1.2.4.51"
_GDCM_12_BITS = "JPEG Extended of 12 bits"
_JPEG = frozenset(
    {
        "1.2.840.10008.1.2.4.50",  # baseline, 8 bits
        _JPEG_EXTENDED,  # 8 or 12 bits
        "1.2.840.10008.1.2.4.57",  # lossless
        "1.2.840.10008.1.2.4.70",  # lossless, first-order prediction
        "1.2.840.10008.1.2.4.80",  # JPEG-LS lossless
        "1.2.840.10008.1.2.4.81",  # JPEG-LS near-lossless
    }
)
_J2K = frozenset({"1.2.840.10008.1.2.4.90", "1.2.840.10008.1.2.4.91"})  # JPEG 2000 lossless, lossy
_LOSSY = frozenset({"1.2.840.10008.1.2.4.50", _JPEG_EXTENDED, "1.2.840.10008.1.2.4.81", "1.2.840.10008.1.2.4.91"})
# Left out on purpose: deflated (1 MiB becomes 2 GiB), big endian (retired), MPEG and HEVC (films).
TRANSFER_SYNTAXES = frozenset({*_NATIVE, _RLE, *_JPEG, *_J2K})

_SAMPLES = {  # photometric interpretation: samples of a pixel
    **dict.fromkeys(("MONOCHROME1", "MONOCHROME2", "PALETTE COLOR"), 1),
    **dict.fromkeys(("RGB", "YBR_FULL", "YBR_FULL_422", "YBR_ICT", "YBR_RCT"), 3),
}
# PS3.3 C.8.11.5, and what many machines write instead; free text stays out
_VIEWS = frozenset({"AP", "PA", "LL", "RL", "RLD", "LLD", "RLO", "LLO", "LAT", "LATERAL"})
_MODALITIES = frozenset(  # PS3.3 C.7.3.1.1.1, those of pictures
    {
        *("CR", "DX", "RG", "XA", "RF", "MG", "IO", "PX", "CT", "MR", "US", "NM", "PT"),
        *("ES", "XC", "GM", "SM", "OP", "OCT", "ECG", "RTIMAGE", "RTDOSE", "SC", "OT"),
    }
)
_TAGS = [
    # layout of the pixels
    *("Rows", "Columns", "NumberOfFrames", "SamplesPerPixel", "PhotometricInterpretation", "PlanarConfiguration"),
    *("BitsAllocated", "BitsStored", "HighBit", "PixelRepresentation", "PixelData"),
    # meaning of their values
    *("RescaleSlope", "RescaleIntercept", "ModalityLUTSequence"),
    *("VOILUTSequence", "WindowCenter", "WindowWidth", "VOILUTFunction"),
    *(f"{colour}PaletteColorLookupTable{part}" for colour in greyscale.COLOURS for part in ("Descriptor", "Data")),
    # for ImageSource
    *("Modality", "ViewPosition", "PixelSpacing", "ImagerPixelSpacing", "Manufacturer"),
]
_VENDORS = frozenset(  # free text may hold anything, so only these first words leave the file
    {
        *("AGFA", "CANON", "CARESTREAM", "FUJI", "FUJIFILM", "GE", "GEMS", "HOLOGIC", "KODAK", "KONICA", "PHILIPS"),
        *("SAMSUNG", "SHIMADZU", "SIEMENS", "TOSHIBA", "VIEWORKS"),
    }
)


@dataclass(frozen=True)
class _Layout:
    """Layout of the pixels in the file."""

    syntax: str
    photometric: str
    rows: int
    columns: int
    allocated: int
    stored: int
    shift: int  # unused bits below the stored ones
    signed: bool

    @property
    def samples(self) -> int:
        return _SAMPLES[self.photometric]


def read_dicom(data: bytes, *, limits: Limits) -> Radiograph:
    """Decode the bytes of a DICOM file: rescaled, windowed, MONOCHROME1 inverted, colour converted to grey.

    Returns `uint8` when the grey levels fit 8 bits, else `uint16` with `bits` 9..16. Modality, view position,
    spacing and vendor go into `source`; no other tag leaves this function.

    Raises:
        BadImage: codes as in `decode.decode`. pydicom's own exceptions also come out, for `decode` to contain.
    """
    syntax = transfer_syntax(data)
    if syntax not in TRANSFER_SYNTAXES:
        raise BadImage(
            "Unsupported DICOM transfer syntax. Accepted: uncompressed little endian, RLE, JPEG, JPEG-LS, JPEG 2000.",
            code="unsupported-transfer-syntax",
        )
    import pydicom

    dataset = pydicom.dcmread(io.BytesIO(data), specific_tags=[*_TAGS])
    layout = _read_layout(dataset, syntax, limits=limits)
    plugin = _check_pixel_data(dataset, layout, limits=limits)
    pixels, bits = _to_grey(dataset, layout, _decode_pixels(dataset, layout, plugin=plugin))
    return Radiograph(pixels, bits=bits, source=_source(dataset, layout))


def transfer_syntax(data: bytes) -> str:
    """Read the transfer syntax UID from the meta header alone; "" if it is not stated. Raises `BadImage` (`truncated`).

    A deflated file can so be refused before anything inflates it.
    """
    offset = 132
    while offset + 8 <= len(data):
        group, element, kind, length = struct.unpack_from("<HH2sH", data, offset)
        if group != 2:
            return ""
        offset += 8
        if kind in (b"OB", b"UN", b"OW", b"SQ", b"UT"):
            if offset + 4 > len(data):
                break
            length = struct.unpack_from("<I", data, offset)[0]
            offset += 4
        if element == 0x0010:
            return data[offset : offset + length].rstrip(b"\0 ").decode("ascii", "replace")
        offset += length
    raise headers.truncated()


def _read_layout(dataset: "Dataset", syntax: str, *, limits: Limits) -> _Layout:
    """Read the layout of the pixels; refuse one that is unknown or exceeds a limit."""
    if "PixelData" not in dataset or "Rows" not in dataset or "Columns" not in dataset:
        raise BadImage("The DICOM object holds no pixels. Give an image object.", code="no-pixels")
    photometric = str(dataset.get("PhotometricInterpretation") or "").strip().upper()
    if _SAMPLES.get(photometric) != dataset.get("SamplesPerPixel", 1):
        accepted = f"Accepted: {', '.join(_SAMPLES)}."
        raise BadImage(f"Unsupported photometric interpretation. {accepted}", code="unsupported-photometric")
    rows, columns = int(dataset.Rows), int(dataset.Columns)
    allocated, stored = int(dataset.get("BitsAllocated") or 0), int(dataset.get("BitsStored") or 0)
    frames = greyscale.number(dataset, "NumberOfFrames")
    headers.check(headers.Header(columns, rows, stored, frames=1 if frames is None else int(frames)), limits=limits)
    if allocated not in (8, 16) or not limits.min_bits <= stored <= allocated:
        accepted = f"Accepted: {limits.min_bits}..{limits.max_bits} bits stored in 8 or 16."
        raise BadImage(f"Unsupported depth: {stored} bits stored in {allocated}. {accepted}", code="unsupported-bits")
    high = int(dataset.get("HighBit", stored - 1))
    shift = high + 1 - stored if syntax in _NATIVE and stored <= high + 1 <= allocated else 0
    signed = int(dataset.get("PixelRepresentation") or 0) == 1
    return _Layout(syntax, photometric, rows, columns, allocated, stored, shift, signed)


def _check_pixel_data(dataset: "Dataset", layout: _Layout, *, limits: Limits) -> str:
    """Check the size in the tags against the pixel data and the compressed stream's own header.

    Returns the pydicom plug-in to decode with; "" for uncompressed pixels, `_GDCM_12_BITS` for what only GDCM does.
    """
    expected = layout.rows * layout.columns * layout.samples * layout.allocated // 8
    if expected > limits.decode_bytes:
        limit = f"The limit is {limits.decode_bytes:,}."
        raise BadImage(f"The pixels take {expected:,} bytes. {limit}", code="too-many-pixels")
    if layout.syntax in _NATIVE:
        if len(dataset.PixelData) < (expected * 2 // 3 if layout.photometric == "YBR_FULL_422" else expected):
            raise BadImage("The file holds fewer pixels than its tags state.", code="truncated")
        return ""
    if layout.syntax == _RLE:
        return _plugin(_RLE)
    bits = _stream_bits(dataset, layout, limits=limits)
    if layout.syntax == _JPEG_EXTENDED and bits > 8:
        return _require_gdcm(layout, bits)
    return _plugin(layout.syntax)


def _stream_bits(dataset: "Dataset", layout: _Layout, *, limits: Limits) -> int:
    """Check that a compressed stream is complete and of the size in the tags; return its bits per sample."""
    stream = _stream(dataset)
    header = headers.read_jpeg(stream) if layout.syntax in _JPEG else headers.read_j2k(stream)
    headers.check(header, limits=limits)
    if (header.height, header.width) != (layout.rows, layout.columns):
        raise BadImage("The size in the tags differs from that of the compressed pixels.", code="damaged")
    if layout.syntax in _J2K and b"\xff\xd9" not in stream[-16:]:  # some pad after the end of the codestream
        raise headers.truncated()
    return header.bits


def _stream(dataset: "Dataset") -> bytes:
    from pydicom.encaps import get_frame

    return bytes(get_frame(dataset.PixelData, 0, number_of_frames=1))


def _require_gdcm(layout: _Layout, bits: int) -> str:
    """Check for GDCM, which decodes JPEG Extended of 12 bits: pydicom does not use it, and libjpeg's plug-in is GPL."""
    if (bits, layout.samples, layout.allocated) != (12, 1, 16):
        raise BadImage(
            f"Unsupported JPEG Extended: {bits} bits, {layout.samples} samples, in {layout.allocated}. "
            "Accepted: 8 bits, or 12 bits, grey, in 16.",
            code="unsupported-bits",
        )
    if not gdcm_codec.is_installed():
        raise _missing("python-gdcm")
    return _GDCM_12_BITS


def _plugin(syntax: str) -> str:
    """Choose the pydicom plug-in for `syntax`, always in the same order, since lossy decoders differ by a grey level.

    GDCM comes last, since it prints to the process's error stream.
    """
    from pydicom.pixels import get_decoder  # type: ignore[attr-defined]

    installed = get_decoder(syntax).available_plugins
    order = ("pylibjpeg", "pillow") if syntax in _J2K else ("pydicom", "pillow", "pyjpegls", "pylibjpeg")
    for plugin in (*order, "gdcm"):
        if plugin in installed:
            return plugin
    raise _missing("pylibjpeg-openjpeg" if syntax in _J2K else "python-gdcm")


def _missing(package: str) -> BadImage:
    remedy = f'Install {package}: pip install "covid-xray[dicom]".'
    return BadImage(f"No decoder for this transfer syntax is installed. {remedy}", code="missing-decoder")


def _decode_pixels(dataset: "Dataset", layout: _Layout, *, plugin: str) -> NDArray[np.generic]:
    """Decode the stored pixels: H x W, or H x W x 3 in RGB."""
    from pydicom.pixels import get_decoder  # type: ignore[attr-defined]

    gdcm_codec.silence()
    if plugin == _GDCM_12_BITS:
        return gdcm_codec.decode_extended(_stream(dataset), rows=layout.rows, columns=layout.columns)
    decoder: Any = get_decoder(layout.syntax)
    pixels, _ = decoder.as_array(dataset, index=0, decoding_plugin=plugin, correct_unused_bits=False)
    expected = (layout.rows, layout.columns) + ((3,) if layout.samples == 3 else ())
    if pixels.shape != expected:
        raise BadImage("The number of pixels differs from that in the tags.", code="damaged")
    return pixels


def _to_grey(dataset: "Dataset", layout: _Layout, pixels: NDArray[np.generic]) -> tuple[greyscale.Levels, int]:
    """Convert stored pixels to grey levels, H x W, and their bits."""
    if layout.samples == 3:
        return greyscale.luma(pixels, bits=layout.stored), layout.stored
    if layout.photometric == "PALETTE COLOR":
        table = greyscale.palette_table(dataset, bits=layout.stored, signed=layout.signed)
    else:
        inverted = layout.photometric == "MONOCHROME1"
        table = greyscale.grey_table(dataset, bits=layout.stored, signed=layout.signed, inverted=inverted)
    if layout.syntax in _LOSSY and pixels.itemsize == 2:  # lossy white may exceed the range: 4097 of 12 bits
        half = 1 << (layout.stored - 1)
        low, high = (-half, half - 1) if pixels.dtype.kind == "i" else (0, 2 * half - 1)
        pixels = pixels.clip(low, high)
    # Bits outside the stored ones may hold anything, old overlays for instance.
    words: NDArray[np.unsignedinteger] = pixels.view(np.uint8 if pixels.itemsize == 1 else np.uint16)
    return table.levels[(words >> layout.shift) & (2**layout.stored - 1)], table.bits


def _source(dataset: "Dataset", layout: _Layout) -> ImageSource:
    view = str(dataset.get("ViewPosition") or "").strip().upper()
    modality = str(dataset.get("Modality") or "").strip().upper()
    return ImageSource(
        format="DICOM",
        photometric=layout.photometric,
        view=view if view in _VIEWS else None,
        spacing=_spacing(dataset),
        modality=modality if modality in _MODALITIES else None,
        vendor=_vendor(str(dataset.get("Manufacturer") or "").upper()),
    )


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
