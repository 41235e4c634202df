"""Decode the stored pixels of a DICOM data set, uncompressed or by the first decoder that can.

No pixel is decoded before the size in the tags and in the compressed stream is checked against the limits.
"""

import contextlib
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from covid_xray.errors import BadImage
from covid_xray.images import gdcm_codec, headers
from covid_xray.images.dicom_file import J2K, JPEG, JPEG_EXTENDED, NATIVE, RLE
from covid_xray.limits import Limits

if TYPE_CHECKING:
    from pydicom.dataset import Dataset

_GDCM_12_BITS = "JPEG Extended of 12 bits"
SAMPLES = {  # photometric interpretation: samples of a pixel
    **dict.fromkeys(("MONOCHROME1", "MONOCHROME2", "PALETTE COLOR"), 1),
    **dict.fromkeys(("RGB", "YBR_FULL", "YBR_FULL_422", "YBR_ICT", "YBR_RCT"), 3),
}


@dataclass(frozen=True)
class Layout:
    """Layout of the pixels in the file."""

    syntax: str
    photometric: str
    rows: int
    columns: int
    allocated: int
    stored: int
    high: int  # the highest of the stored bits
    signed: bool

    @property
    def samples(self) -> int:
        """Return the samples of a pixel."""
        return SAMPLES[self.photometric]


@dataclass(frozen=True, eq=False)
class Pixels:
    """Decoded pixels, H x W or H x W x 3 in RGB; bits of a sample in the compressed stream, 0 where it states none."""

    values: NDArray[np.generic]
    precision: int = 0
    warnings: tuple[str, ...] = ()


def check_pixel_data(dataset: "Dataset", layout: Layout, *, limits: Limits) -> int:
    """Check the size in the tags against the pixel data and the compressed stream's own header.

    Returns the bits of a sample of the compressed stream; 0 for uncompressed pixels and RLE, which do not state them.
    """
    expected = layout.rows * layout.columns * layout.samples * layout.allocated // 8
    if expected > limits.decode_bytes:
        limit = f"The limit is {limits.decode_bytes:,}."
        raise BadImage(f"The pixels take {expected:,} bytes. {limit}", code="too-many-pixels")
    if layout.syntax in NATIVE:
        if len(dataset.PixelData) < (expected * 2 // 3 if layout.photometric == "YBR_FULL_422" else expected):
            raise BadImage("The file holds fewer pixels than its tags state.", code="truncated")
        return 0
    return 0 if layout.syntax == RLE else _stream_bits(dataset, layout, limits=limits)


def _stream_bits(dataset: "Dataset", layout: Layout, *, limits: Limits) -> int:
    """Check that a compressed stream is complete and of the size in the tags; return its bits per sample."""
    stream = _stream(dataset)
    header = headers.read_jpeg(stream) if layout.syntax in JPEG else headers.read_j2k(stream)
    headers.check(header, limits=limits)
    if (header.height, header.width) != (layout.rows, layout.columns):
        raise BadImage("The size in the tags differs from that of the compressed pixels.", code="damaged")
    if layout.syntax in J2K and b"\xff\xd9" not in stream[-16:]:  # some pad after the end of the codestream
        raise headers.truncated()
    return header.bits


def _stream(dataset: "Dataset") -> bytes:
    from pydicom.encaps import get_frame

    return bytes(get_frame(dataset.PixelData, 0, number_of_frames=1))


def _require_gdcm(layout: Layout, bits: int) -> None:
    """Check for GDCM, which decodes JPEG Extended of 12 bits: pydicom does not use it, and libjpeg's plug-in is GPL."""
    if (bits, layout.samples, layout.allocated) != (12, 1, 16):
        raise BadImage(
            f"Unsupported JPEG Extended: {bits} bits, {layout.samples} samples, in {layout.allocated}. "
            "Accepted: 8 bits, or 12 bits, grey, in 16.",
            code="unsupported-bits",
        )
    if not gdcm_codec.is_installed():
        raise _missing("python-gdcm")


def _plugins(syntax: str) -> list[str]:
    """List the pydicom plug-ins for `syntax`, always in the same order, since lossy decoders differ by a grey level.

    GDCM comes last, since it prints to the process's error stream.
    """
    from pydicom.pixels import get_decoder  # type: ignore[attr-defined]

    installed = get_decoder(syntax).available_plugins
    order = ("pylibjpeg", "pillow") if syntax in J2K else ("pydicom", "pillow", "pyjpegls", "pylibjpeg")
    found = [plugin for plugin in (*order, "gdcm") if plugin in installed]
    if not found:
        raise _missing("pylibjpeg-openjpeg" if syntax in J2K else "python-gdcm")
    return found


def _missing(package: str) -> BadImage:
    remedy = f'Install {package}: pip install "covid-xray[dicom]".'
    return BadImage(f"No decoder for this transfer syntax is installed. {remedy}", code="missing-decoder")


def decode_pixels(dataset: "Dataset", layout: Layout, *, precision: int) -> Pixels:
    """Decode the stored pixels with the first decoder that can."""
    gdcm_codec.silence()
    if layout.syntax in NATIVE and layout.samples == 1:  # without the copies of pydicom
        kind = np.dtype(f"<{'i' if layout.signed else 'u'}{layout.allocated // 8}")
        flat: NDArray[np.generic] = np.frombuffer(dataset.PixelData, kind, layout.rows * layout.columns)
        return Pixels(flat.reshape(layout.rows, layout.columns))
    if layout.syntax in NATIVE:
        return Pixels(_decoded(dataset, layout, plugin=""))
    if layout.syntax == JPEG_EXTENDED and precision > 8:
        _require_gdcm(layout, precision)
        gdcm_codec.require_child()
        values = gdcm_codec.decode_extended(_stream(dataset), rows=layout.rows, columns=layout.columns)
        return Pixels(values, precision)
    if precision:  # decoders go by the tags, which may tell of other pixels: GDCM keeps the stored bits alone
        dataset.BitsAllocated, dataset.BitsStored = 8 if precision <= 8 else 16, precision
    first, *others = _plugins(layout.syntax)
    if first == "gdcm":
        gdcm_codec.require_child()
    try:
        return Pixels(_decoded(dataset, layout, plugin=first), precision)
    except MemoryError:
        raise
    except Exception:
        for plugin in others:
            if plugin == "gdcm":
                gdcm_codec.require_child()
            with contextlib.suppress(Exception):
                return Pixels(_decoded(dataset, layout, plugin=plugin), precision, ("other-decoder",))
        raise


def _decoded(dataset: "Dataset", layout: Layout, *, plugin: str) -> NDArray[np.generic]:
    from pydicom.pixels import get_decoder  # type: ignore[attr-defined]

    decoder: Any = get_decoder(layout.syntax)
    pixels, _ = decoder.as_array(dataset, index=0, decoding_plugin=plugin, correct_unused_bits=False)
    expected = (layout.rows, layout.columns) + ((3,) if layout.samples == 3 else ())
    if pixels.shape != expected:
        raise BadImage("The number of pixels differs from that in the tags.", code="damaged")
    return pixels
