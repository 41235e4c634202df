"""DICOM bytes to one grey radiograph, through pydicom: the tags we need, then the pixels, then grey.

Nothing is parsed before the transfer syntax is known to be one we accept, and no pixel is decoded before its size is
known to be within the limits, as the tags state it and as the compressed stream states it.
"""

import io
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
_WIDE = "JPEG Extended of 12 bits"
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
    "MONOCHROME1": 1,
    "MONOCHROME2": 1,
    "PALETTE COLOR": 1,
    "RGB": 3,
    "YBR_FULL": 3,
    "YBR_FULL_422": 3,
    "YBR_ICT": 3,
    "YBR_RCT": 3,
}
_VIEWS = frozenset(  # PS3.3 C.8.11.5, and what many machines write instead; free text stays out
    {"AP", "PA", "LL", "RL", "RLD", "LLD", "RLO", "LLO", "LAT", "LATERAL"}
)
_MODALITIES = frozenset(  # PS3.3 C.7.3.1.1.1, those of pictures
    {
        *("CR", "DX", "RG", "XA", "RF", "MG", "IO", "PX", "CT", "MR", "US", "NM", "PT"),
        *("ES", "XC", "GM", "SM", "OP", "OCT", "ECG", "RTIMAGE", "RTDOSE", "SC", "OT"),
    }
)
_TAGS = [
    # the form of the pixels
    *("Rows", "Columns", "NumberOfFrames", "SamplesPerPixel", "PhotometricInterpretation", "PlanarConfiguration"),
    *("BitsAllocated", "BitsStored", "HighBit", "PixelRepresentation", "PixelData"),
    # what their values mean
    *("RescaleSlope", "RescaleIntercept", "ModalityLUTSequence"),
    *("VOILUTSequence", "WindowCenter", "WindowWidth", "VOILUTFunction"),
    *(f"{colour}PaletteColorLookupTable{part}" for colour in greyscale.COLOURS for part in ("Descriptor", "Data")),
    # what goes into ImageSource
    *("Modality", "ViewPosition", "PixelSpacing", "ImagerPixelSpacing"),
]


@dataclass(frozen=True)
class _Form:
    """How the pixels lie in the file."""

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
    """The radiograph in the bytes of a DICOM file: rescaled, windowed, MONOCHROME1 inverted, colour made grey.

    `uint8` when its grey levels fit 8 bits, else `uint16` with `bits` 9..16. Modality, view position and
    spacing go into `source`; no other tag leaves this function.

    Raises:
        BadImage: codes as in `decode.decode`. pydicom's own exceptions also come out, for `decode` to contain.
    """
    syntax = transfer_syntax(data)
    if syntax not in TRANSFER_SYNTAXES:
        raise BadImage(
            "expected an uncompressed little-endian, RLE, JPEG, JPEG-LS or JPEG 2000 file. Received: another syntax",
            code="unsupported-transfer-syntax",
        )
    import pydicom

    dataset = pydicom.dcmread(io.BytesIO(data), specific_tags=[*_TAGS])
    form = _form(dataset, syntax, limits=limits)
    plugin = _check_pixel_data(dataset, form, limits=limits)
    pixels, bits = _grey(dataset, form, _decoded(dataset, form, plugin=plugin))
    return Radiograph(pixels, bits=bits, source=_source(dataset, form))


def transfer_syntax(data: bytes) -> str:
    """The transfer syntax UID of a DICOM file, from its meta header alone; empty where it names none.

    The meta header is always explicit little endian, so a few lines read it, and a deflated file is refused before
    anything inflates it. Raises `BadImage` (`truncated`).
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
    raise BadImage("expected a whole file. Received: one that breaks off", code="truncated")


def _form(dataset: "Dataset", syntax: str, *, limits: Limits) -> _Form:
    """The form of the pixels, refused where it breaks a limit or is none that we know."""
    if "PixelData" not in dataset or "Rows" not in dataset or "Columns" not in dataset:
        raise BadImage("expected a DICOM image. Received: an object without pixels", code="no-pixels")
    photometric = str(dataset.get("PhotometricInterpretation") or "").strip().upper()
    if _SAMPLES.get(photometric) != dataset.get("SamplesPerPixel", 1):
        raise BadImage(
            f"expected one of {', '.join(_SAMPLES)} with its samples a pixel. Received: another",
            code="unsupported-photometric",
        )
    rows, columns = int(dataset.Rows), int(dataset.Columns)
    allocated, stored = int(dataset.get("BitsAllocated") or 0), int(dataset.get("BitsStored") or 0)
    frames = greyscale.number(dataset, "NumberOfFrames")
    headers.check(headers.Header(columns, rows, stored, frames=1 if frames is None else int(frames)), limits=limits)
    if allocated not in (8, 16) or not limits.min_bits <= stored <= allocated:
        raise BadImage(
            f"expected {limits.min_bits}..{limits.max_bits} bits stored in 8 or 16. "
            f"Received: {stored} stored in {allocated}",
            code="unsupported-bits",
        )
    high = int(dataset.get("HighBit", stored - 1))
    shift = high + 1 - stored if syntax in _NATIVE and stored <= high + 1 <= allocated else 0
    signed = int(dataset.get("PixelRepresentation") or 0) == 1
    return _Form(syntax, photometric, rows, columns, allocated, stored, shift, signed)


def _check_pixel_data(dataset: "Dataset", form: _Form, *, limits: Limits) -> str:
    """Compare the size in the tags with the pixel data, and with what the compressed stream says of itself.

    Returns the pydicom plug-in that can decode it; empty for uncompressed pixels, `_WIDE` for what GDCM does alone.
    """
    expected = form.rows * form.columns * form.samples * form.allocated // 8
    if expected > limits.decode_bytes:
        raise BadImage(
            f"expected at most {limits.decode_bytes:,} bytes of pixels. Received: {expected:,}", code="too-many-pixels"
        )
    if form.syntax in _NATIVE:
        if len(dataset.PixelData) < (expected * 2 // 3 if form.photometric == "YBR_FULL_422" else expected):
            raise BadImage("expected as many pixels as the tags say. Received: fewer", code="truncated")
        return ""
    if form.syntax == _RLE:
        return _plugin(_RLE)
    bits = _stream_bits(dataset, form, limits=limits)
    if form.syntax == _JPEG_EXTENDED and bits > 8:
        return _wide(form, bits)
    return _plugin(form.syntax)


def _stream_bits(dataset: "Dataset", form: _Form, *, limits: Limits) -> int:
    """Bits of a sample in a JPEG, JPEG-LS or JPEG 2000 stream, once its size is that of the tags and it is whole."""
    stream = _stream(dataset)
    header = headers.read_jpeg(stream) if form.syntax in _JPEG else headers.read_j2k(stream)
    headers.check(header, limits=limits)
    if (header.height, header.width) != (form.rows, form.columns):
        raise BadImage("expected one size in tags and compressed pixels. Received: two that differ", code="damaged")
    if form.syntax in _J2K and b"\xff\xd9" not in stream[-16:]:  # some pad after the end of the codestream
        raise BadImage("expected a whole JPEG 2000 stream. Received: one that breaks off", code="truncated")
    return header.bits


def _stream(dataset: "Dataset") -> bytes:
    from pydicom.encaps import get_frame

    return bytes(get_frame(dataset.PixelData, 0, number_of_frames=1))


def _wide(form: _Form, bits: int) -> str:
    """JPEG Extended of 12 bits: pydicom does not ask GDCM for it, and libjpeg's plug-in is GPL."""
    if (bits, form.samples, form.allocated) != (12, 1, 16):
        raise BadImage(
            f"expected JPEG Extended of 8 bits, or of 12 bits, grey, in 16. "
            f"Received: {bits} bits, {form.samples} samples, in {form.allocated}",
            code="unsupported-bits",
        )
    if not gdcm_codec.is_installed():
        raise _missing("python-gdcm")
    return _WIDE


def _plugin(syntax: str) -> str:
    """The pydicom plug-in that decodes `syntax`: always the same one where several are installed, since lossy decoders
    differ by a grey level, and a quiet one before GDCM, which prints to the process's error stream.
    """
    from pydicom.pixels import get_decoder  # type: ignore[attr-defined]

    installed = get_decoder(syntax).available_plugins
    order = ("pylibjpeg", "pillow") if syntax in _J2K else ("pydicom", "pillow", "pyjpegls", "pylibjpeg")
    for plugin in (*order, "gdcm"):
        if plugin in installed:
            return plugin
    raise _missing("pylibjpeg-openjpeg" if syntax in _J2K else "python-gdcm")


def _missing(package: str) -> BadImage:
    remedy = f'pip install "covid-xray[dicom]", which brings {package}'
    return BadImage(
        f"expected a decoder for this transfer syntax to be installed ({remedy}). Received: none",
        code="missing-decoder",
    )


def _decoded(dataset: "Dataset", form: _Form, *, plugin: str) -> NDArray[np.generic]:
    """Pixels as stored: H x W, or H x W x 3 in RGB."""
    from pydicom.pixels import get_decoder  # type: ignore[attr-defined]

    gdcm_codec.silence()
    if plugin == _WIDE:
        return gdcm_codec.decode_extended(_stream(dataset), rows=form.rows, columns=form.columns)
    decoder: Any = get_decoder(form.syntax)
    pixels, _ = decoder.as_array(dataset, index=0, decoding_plugin=plugin, correct_unused_bits=False)
    expected = (form.rows, form.columns) + ((3,) if form.samples == 3 else ())
    if pixels.shape != expected:
        raise BadImage("expected as many pixels as the tags say. Received: another number", code="damaged")
    return pixels


def _grey(dataset: "Dataset", form: _Form, pixels: NDArray[np.generic]) -> tuple[greyscale.Levels, int]:
    """Grey levels, H x W, and their bits."""
    if form.samples == 3:
        return greyscale.luma(pixels, bits=form.stored), form.stored
    if form.photometric == "PALETTE COLOR":
        table = greyscale.palette_table(dataset, bits=form.stored, signed=form.signed)
    else:
        inverted = form.photometric == "MONOCHROME1"
        table = greyscale.grey_table(dataset, bits=form.stored, signed=form.signed, inverted=inverted)
    if form.syntax in _LOSSY and pixels.itemsize == 2:  # white may have become more than white: 4097 of 12 bits
        half = 1 << (form.stored - 1)
        low, high = (-half, half - 1) if pixels.dtype.kind == "i" else (0, 2 * half - 1)
        pixels = pixels.clip(low, high)
    # Bits outside the stored ones may hold anything, old overlays for instance.
    words: NDArray[np.unsignedinteger] = pixels.view(np.uint8 if pixels.itemsize == 1 else np.uint16)
    return table.levels[(words >> form.shift) & (2**form.stored - 1)], table.bits


def _source(dataset: "Dataset", form: _Form) -> ImageSource:
    view = str(dataset.get("ViewPosition") or "").strip().upper()
    modality = str(dataset.get("Modality") or "").strip().upper()
    return ImageSource(
        format="DICOM",
        photometric=form.photometric,
        view=view if view in _VIEWS else None,
        spacing=_spacing(dataset),
        modality=modality if modality in _MODALITIES else None,
    )


def _spacing(dataset: "Dataset") -> tuple[float, float] | None:
    """Distance of pixel centres in mm, at the patient where it is known, else at the detector."""
    for keyword in ("PixelSpacing", "ImagerPixelSpacing"):
        values = dataset.get(keyword)
        if values is not None and not isinstance(values, str) and len(values) == 2:
            row, column = float(values[0]), float(values[1])
            if np.isfinite(row) and np.isfinite(column) and row > 0 and column > 0:
                return row, column
    return None
