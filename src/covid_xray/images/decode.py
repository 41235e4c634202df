"""Decode the bytes of an image file into one grey radiograph.

This is the only module that opens a file from outside. Every failure is a `BadImage` with a stable code and a safe
message; no exception, warning or log line of a decoder gets out.
"""

import contextlib
import logging
import threading
import warnings
from collections.abc import Callable, Iterator
from pathlib import Path, PurePosixPath

from covid_xray.errors import BadImage
from covid_xray.files import is_hidden
from covid_xray.images import headers
from covid_xray.images.gdcm_codec import NEEDS_CHILD
from covid_xray.images.radiograph import Radiograph
from covid_xray.images.sandbox import decode_limited, read_source
from covid_xray.limits import Limits

SUFFIXES = frozenset(
    {".png", ".jpg", ".jpeg", ".jpe", ".jfif", ".dcm", ".dicom", ".ima", ".tif", ".tiff", ".bmp", ".dib", ".gif"}
    | {".webp", ".jp2", ".j2k", ".j2c", ".jpx", ".jpf", ".npy", ".nii", ".nii.gz"}
)
FORMATS = "PNG, JPEG, DICOM, TIFF, BMP, GIF, WebP, JPEG 2000, NIfTI or .npy"
_BY_PILLOW = 'Convert it: magick "IN" OUT.png'
_BY_ITK = "Convert a 2-D image with SimpleITK: WriteImage(ReadImage(IN), OUT.dcm); choose one slice of a volume."
CONVERSIONS = {  # of formats that are not read
    **dict.fromkeys((".heic", ".heif", ".avif", ".psd", ".svg", ".eps", ".tga", ".ppm", ".pgm", ".jxl"), _BY_PILLOW),
    ".pdf": "Extract its pictures: pdfimages -all IN.pdf OUT",
    **dict.fromkeys((".mha", ".mhd", ".nrrd", ".mgz", ".mnc"), _BY_ITK),
    **dict.fromkeys((".npz", ".mat", ".h5", ".hdf5"), "Save each 2-D array with numpy.save as .npy."),
    **dict.fromkeys((".avi", ".mp4", ".mov"), "Extract one frame: ffmpeg -i IN -frames:v 1 OUT.png"),
    **dict.fromkeys((".svs", ".ndpi"), "Slides are not radiographs."),
}
_NO_IMAGES = frozenset({"DICOMDIR", "LICENSE", "LICENCE", "README", "CHANGELOG", "MAKEFILE", "MD5SUMS", "SHA256SUMS"})
_DICOM_SUFFIXES = frozenset({".dcm", ".dicom", ".ima"})
_COPIES = frozenset({".bak", ".old", ".orig", ".tmp", ".part", ".gz", ".zip", ".tar"})  # of images that lie elsewhere
HEAD_BYTES = 352  # enough to recognise every format: the header of NIfTI
_LOGGERS = ("pydicom", "PIL", "pylibjpeg", "openjpeg")  # they log tag values and EXIF fields
_SILENT = logging.CRITICAL + 1


def decode(source: Path | bytes, *, limits: Limits = Limits()) -> Radiograph:  # noqa: B008  (frozen)
    """Decode a file or bytes into a radiograph: lungs dark, bones bright, upright, grey.

    The magic bytes decide the format, never the name. 8-bit files give `uint8`; 16-bit PNG and DICOM of more than
    8 bits give `uint16` with white at `2 ** bits - 1`. What only GDCM decodes is decoded in a child process, since
    GDCM ends the process at some damaged files.

    Raises:
        BadImage: always with one of these codes; for what GDCM decodes also with those of `decode_limited`.
            the file: `unreadable-file`, `empty`, `too-large`, `not-an-image`
            its limits: `too-many-pixels`, `several-frames`, `unsupported-bits`, `too-complex`
            its state: `truncated`, `checksum`, `damaged`, `no-pixels`, `decoder-failed`, `decode-memory`
            DICOM: `unsupported-transfer-syntax`, `unsupported-photometric`, `missing-decoder`
        TypeError: `source` is neither a path nor bytes.
    """
    if not isinstance(source, Path | bytes):
        raise TypeError(f"`source` must be a Path or bytes, not {type(source).__name__}")
    with contained():
        try:
            data = read_source(source, limits=limits)
            try:
                return _decode_bytes(data, limits=limits)
            except BadImage as error:
                if error.code != NEEDS_CHILD:
                    raise
            return decode_limited(data, limits=limits)
        except BadImage as error:
            refusal = error
        except MemoryError:
            refusal = BadImage("Decoding the image needs more memory than allowed.", code="decode-memory")
        except Exception as error:  # decoders raise nearly every type; only its name cannot hold a value of the file
            refusal = BadImage(f"The decoder failed on this image ({type(error).__name__}).", code="decoder-failed")
    # Raised outside the handlers, so that the decoder's exception is not even its `__context__`.
    raise BadImage(refusal.message, code=refusal.code)


def read_image(source: str | Path | bytes, *, limits: Limits = Limits()) -> Radiograph:  # noqa: B008  (frozen)
    """Read an image file or its bytes as `decode` does; a text is the path of a file.

    Examples:
        >>> from covid_xray import read_image
        >>> radiograph = read_image("chest.png")
        >>> radiograph.pixels.shape, radiograph.pixels.dtype.name
        ((64, 64), 'uint8')
    """
    return decode(Path(source) if isinstance(source, str) else source, limits=limits)


def has_image_suffix(name: str) -> bool:
    """Return whether the name ends like that of an image."""
    return _suffix(name) in SUFFIXES


def is_image_name(name: str) -> bool:
    """Return whether a file of this name may be an image: a known suffix, no suffix, or digits after the last dot.

    Many archives name DICOM files without a suffix, or by UID, such as 1.2.840.10008.1.
    """
    path = PurePosixPath(name)
    suffix = _suffix(name)
    if suffix and not suffix[1:].isdigit():
        return suffix in SUFFIXES and not path.name.startswith(".")
    return path.name.upper() not in _NO_IMAGES and not is_hidden(path.name)


def is_other_image(name: str) -> bool:
    """Return whether a file name is that of a picture in a format that is not read."""
    return name.lower().endswith(tuple(CONVERSIONS))


def how_to_convert(name: str) -> str:
    """Return how to convert a file of this name into a format that is read, or ""."""
    return next((f" {how}" for suffix, how in CONVERSIONS.items() if name.lower().endswith(suffix)), "")


def is_candidate(path: Path) -> bool:
    """Return whether a folder scan takes `path` for an image: by its suffix, and without one by its first bytes."""
    return why_passed_over(path.name, lambda: read_head(path)) is None


def why_passed_over(name: str, head: Callable[[], bytes]) -> str | None:
    """Return why a scan of a folder or an archive passes over a file, or None for an image.

    The reason is its suffix, its name where it has none, `hidden`, or `DICOM without an image`: reports and other
    objects that lie beside the images on a CD.

    Args:
        name: of the file, without its folder.
        head: reads its first `HEAD_BYTES`; b"" where it cannot be read.
    """
    suffix = _suffix(name)
    if is_hidden(name):
        return "hidden"
    if name.upper() in _NO_IMAGES:
        return name
    if suffix in SUFFIXES - _DICOM_SUFFIXES:
        return None
    data = head()
    if _is_dicom(data) and suffix not in _COPIES:
        from covid_xray.images.dicom_file import holds_no_image

        return "DICOM without an image" if holds_no_image(data) else None
    if suffix in _DICOM_SUFFIXES or (is_image_name(name) and is_image_head(data)):
        return None
    return suffix or name


def read_head(path: Path) -> bytes:
    """Return the first `HEAD_BYTES` of a regular file; b"" where it cannot be read."""
    try:
        if not path.is_file():
            return b""
        with path.open("rb") as stream:
            return stream.read(HEAD_BYTES)
    except OSError:
        return b""


class _Silence:
    """Silence warnings and loggers while any thread decodes, and restore them after the last.

    `warnings.catch_warnings` alone is not thread-safe: two that overlap leave the filters of one behind.
    """

    def __init__(self) -> None:
        self.lock = threading.Lock()
        self.depth = 0
        self.restore = contextlib.ExitStack()

    def enter(self) -> None:
        with self.lock:
            self.depth += 1
            if self.depth == 1:
                self.restore.enter_context(warnings.catch_warnings())
                warnings.simplefilter("ignore")
                for logger in map(logging.getLogger, _LOGGERS):
                    self.restore.callback(logger.setLevel, logger.level)
                    logger.setLevel(_SILENT)

    def leave(self) -> None:
        with self.lock:
            self.depth -= 1
            if self.depth == 0:
                self.restore.close()


_SILENCE = _Silence()


@contextlib.contextmanager
def contained() -> Iterator[None]:
    """Suppress the warnings and log lines of decoders, which may hold names and dates of patients."""
    _SILENCE.enter()
    try:
        yield
    finally:
        _SILENCE.leave()


def _decode_bytes(data: bytes, *, limits: Limits) -> Radiograph:
    from covid_xray.images.raster import read_raster

    if not data:
        raise BadImage("The file is empty.", code="empty")
    kind = _raster_kind(data)
    if kind and not _has_two_faces(data):
        return read_raster(data, kind=kind, limits=limits)
    if _is_dicom(data):
        from covid_xray.images.dicom import read_dicom

        return read_dicom(data, limits=limits)
    return _decode_array(data, limits=limits)


def _has_two_faces(data: bytes) -> bool:
    """Return whether a DICOM file also begins as a TIFF, in its preamble, which may lead to the same pixels."""
    return data[128:134] == b"DICM\2\0"


def _decode_array(data: bytes, *, limits: Limits) -> Radiograph:
    from covid_xray.images import arrays

    if data.startswith(arrays.GZIP_MAGIC):
        data = arrays.gunzip(data, limits=limits)
    elif data.startswith(arrays.NPY_MAGIC):
        return arrays.read_npy(data, limits=limits)
    if arrays.is_nifti(data):
        return arrays.read_nifti(data, limits=limits)
    raise BadImage(f"Not an image file. Give a {FORMATS} file.", code="not-an-image")


def _raster_kind(data: bytes) -> str | None:
    """Return Pillow's name of the picture format that the bytes begin with."""
    if data[:4] == b"RIFF" and data[8:12] == b"WEBP":
        return "WEBP"
    magics: dict[str, bytes | tuple[bytes, ...]] = {
        "PNG": headers.PNG_MAGIC,
        "JPEG": headers.JPEG_MAGIC,
        "TIFF": headers.TIFF_MAGICS,
        "GIF": headers.GIF_MAGICS,
        "JPEG2000": (headers.JP2_MAGIC, headers.J2K_MAGIC),
    }
    if data[:2] == headers.BMP_MAGIC and data[6:10] == bytes(4):  # a text may begin with BM too
        return "BMP"
    return next((kind for kind, magic in magics.items() if data.startswith(magic)), None)


def _suffix(name: str) -> str:
    lower = name.lower()
    return ".nii.gz" if lower.endswith(".nii.gz") else PurePosixPath(lower).suffix


def is_image_head(head: bytes) -> bool:
    """Return whether the first `HEAD_BYTES` of a file are those of a format that is read."""
    from covid_xray.images import arrays

    return bool(_raster_kind(head)) or _is_dicom(head) or head.startswith(arrays.NPY_MAGIC) or arrays.is_nifti(head)


def _is_dicom(data: bytes) -> bool:
    from covid_xray.images.dicom_file import is_dicom

    return is_dicom(data)
