"""Read 2-D arrays as radiographs: NumPy's .npy without pickles, and NIfTI, also compressed by gzip.

Grey values of up to 16 bits are kept; floats are stretched to 16 bits. Bright is taken for bone.
"""

import io
import struct
import zlib
from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from covid_xray.errors import BadImage
from covid_xray.images import headers
from covid_xray.images.headers import Header
from covid_xray.images.radiograph import ImageSource, Radiograph, fit_bits
from covid_xray.limits import Limits

NPY_MAGIC = b"\x93NUMPY"
GZIP_MAGIC = b"\x1f\x8b"
_NIFTI_SIZE = 348  # bytes of the header, which begins with this number
_NIFTI_TYPES = {2: "u1", 4: "i2", 8: "i4", 16: "f4", 64: "f8", 256: "i1", 512: "u2", 768: "u4"}


def is_nifti(data: bytes) -> bool:
    """Return whether the bytes begin with the header of a NIfTI-1 file that holds its own pixels."""
    return len(data) > _NIFTI_SIZE and data[:4] in (b"\x5c\x01\0\0", b"\0\0\x01\x5c") and data[344:347] == b"n+1"


def read_npy(data: bytes, *, limits: Limits) -> Radiograph:
    """Read an array of one plane. Raises `BadImage`: a limit, objects (which need pickle), or another shape."""
    stream = io.BytesIO(data)
    try:
        version = np.lib.format.read_magic(stream)
        read = np.lib.format.read_array_header_1_0 if version == (1, 0) else np.lib.format.read_array_header_2_0
        shape, transposed, kind = read(stream)
    except Exception:  # NumPy evaluates the text as a literal, which raises nearly anything
        raise BadImage("The .npy header cannot be read.", code="damaged") from None
    if kind.kind not in "buif" or kind.itemsize > 8:
        raise BadImage("The array holds no plain numbers. Save uint8, uint16 or floats.", code="unsupported-bits")
    rows, columns = _plane(shape, limits=limits)
    flat = _values(data, kind, rows * columns, offset=stream.tell())
    return _radiograph(flat.reshape((rows, columns), order="F" if transposed else "C"), kind="NPY")


def read_nifti(data: bytes, *, limits: Limits) -> Radiograph:
    """Read a NIfTI-1 file of one plane, turned as its affine says: columns to the patient's left, rows downwards.

    The scale of the values is ignored, except for its sign.

    Raises:
        BadImage: a limit, several planes, or an unsupported type.
    """
    order = "<" if data[0] == _NIFTI_SIZE & 0xFF else ">"
    count, *shape = struct.unpack_from(f"{order}8h", data, 40)
    (code,) = struct.unpack_from(f"{order}h", data, 70)
    offset, slope = struct.unpack_from(f"{order}2f", data, 108)
    if not 2 <= count <= 7 or not _NIFTI_SIZE <= offset < 1 << 31:
        raise BadImage("The NIfTI header contradicts itself.", code="damaged")
    if code not in _NIFTI_TYPES:
        raise BadImage("The NIfTI data type is not one of numbers of 8 to 64 bits.", code="unsupported-bits")
    columns, rows = _plane((shape[0], shape[1], *shape[2:count]), limits=limits)
    values = _values(data, np.dtype(order + _NIFTI_TYPES[code]), rows * columns, offset=int(offset))
    pixels = values.reshape(rows, columns)
    right, up = _directions(data, order)
    pixels = pixels[:: -1 if up else 1, :: -1 if right else 1]
    return _radiograph(-pixels.astype(np.float64) if slope < 0 else pixels, kind="NIfTI")


def gunzip(data: bytes, *, limits: Limits) -> bytes:
    """Decompress gzip up to the limit of a file. Raises `BadImage`: `too-large`, `truncated` or `damaged`."""
    inflate = zlib.decompressobj(wbits=31)
    try:
        plain = inflate.decompress(data, limits.upload_bytes + 1)
    except zlib.error:
        raise BadImage("The gzip stream cannot be read.", code="damaged") from None
    if len(plain) > limits.upload_bytes:
        raise BadImage(f"The file is larger than {limits.upload_bytes:,} bytes when decompressed.", code="too-large")
    if not inflate.eof:
        raise headers.truncated()
    return plain


def _plane(shape: Sequence[int], *, limits: Limits) -> tuple[int, int]:
    """Return the two sizes of a plane; further axes must be of length 1."""
    sizes = [size for size in shape if size != 1] if len(shape) > 2 else list(shape)
    sizes += [1] * (2 - len(sizes))
    if len(shape) < 2 or len(sizes) > 2:
        raise BadImage(
            f"The array has the shape {' x '.join(map(str, shape[:8])) or '()'}. Give one plane, rows x columns.",
            code="several-frames",
        )
    headers.check(Header(width=sizes[1], height=sizes[0]), limits=limits)
    return sizes[0], sizes[1]


def _values(data: bytes, kind: "np.dtype[np.generic]", count: int, *, offset: int) -> NDArray[np.generic]:
    if offset + count * kind.itemsize > len(data):
        raise headers.truncated()
    return np.frombuffer(data, kind, count, offset)


def _directions(data: bytes, order: str) -> tuple[bool, bool]:
    """Return whether the first axis points to the patient's right and the second to the front or the head."""
    qform, sform = struct.unpack_from(f"{order}2h", data, 252)
    if sform > 0:
        right, up = struct.unpack_from(f"{order}f", data, 280)[0], struct.unpack_from(f"{order}f", data, 300)[0]
    elif qform > 0:
        b, c, d = struct.unpack_from(f"{order}3f", data, 256)
        a2 = 1.0 - (b * b + c * c + d * d)
        right, up = a2 + b * b - c * c - d * d, a2 + c * c - b * b - d * d
    else:
        right, up = 1.0, 1.0  # NIfTI's first method: axes as voxels, x to the right, y to the front
    return right > 0, up > 0


def _radiograph(pixels: NDArray[np.generic], *, kind: str) -> Radiograph:
    source = ImageSource(format=kind, photometric=pixels.dtype.name)
    if pixels.dtype.kind == "b":
        return Radiograph(pixels.astype(np.uint8) * np.uint8(255), source=source)
    if pixels.dtype == np.uint8:
        return Radiograph(np.ascontiguousarray(pixels, dtype=np.uint8), source=source)
    low, high = float(pixels.min()), float(pixels.max())
    if not np.isfinite([low, high]).all():
        raise BadImage("The array holds values that are not finite.", code="damaged")
    low = min(low, 0.0)
    if pixels.dtype.kind == "f":
        scale = 65_535 / (high - low) if high > low else 0.0
        words = np.rint((pixels.astype(np.float64) - low) * scale).astype(np.uint16)
        return Radiograph(words, bits=16, source=source)
    if high - low > 65_535:
        raise BadImage(
            "The values of the array need more than 16 bits. Scale them to 0..65535.", code="unsupported-bits"
        )
    words = (pixels.astype(np.int64) - int(low)).astype(np.uint16)
    words, bits = fit_bits(words)
    return Radiograph(words, bits=bits, source=source)
