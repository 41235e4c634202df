"""The only place that opens a file from outside: PNG, JPEG or DICOM bytes in, one grey `Radiograph` out.

Whatever is wrong with the bytes, the caller sees `BadImage` with a stable code and a message that is safe to show
and to log; no decoder's exception, warning or log line gets out.
"""

import contextlib
import logging
import threading
import warnings
from collections.abc import Iterator
from pathlib import Path

from covid_xray.errors import BadImage, InputRefused
from covid_xray.files import read_bounded
from covid_xray.images import headers
from covid_xray.images.radiograph import Radiograph
from covid_xray.limits import Limits

SUFFIXES = frozenset({".png", ".jpg", ".jpeg", ".jpe", ".jfif", ".dcm", ".dicom"})
_DICM_AT = 128  # a DICOM file opens with a preamble of 128 free bytes
_LOGGERS = ("pydicom", "PIL", "pylibjpeg", "openjpeg")  # they log tag values and EXIF fields
_SILENT = logging.CRITICAL + 1


def decode(source: Path | bytes, *, limits: Limits = Limits()) -> Radiograph:  # noqa: B008  (frozen)
    """The radiograph in a file or in bytes: lungs dark, bones bright, upright, grey.

    The format is told by the magic bytes, never by the name. 8-bit files give `uint8`; 16-bit PNG and DICOM of more
    than 8 bits give `uint16` with `bits` saying where white is.

    Raises:
        BadImage: always with one of these codes.
            the file: `unreadable-file`, `empty`, `too-large`, `not-an-image`
            its limits: `too-many-pixels`, `several-frames`, `unsupported-bits`, `too-complex`
            its state: `truncated`, `checksum`, `damaged`, `no-pixels`, `decoder-failed`, `decode-memory`
            DICOM: `unsupported-transfer-syntax`, `unsupported-photometric`, `missing-decoder`
        TypeError: `source` is neither a path nor bytes; a mistake of the caller, not of the file.
    """
    if not isinstance(source, Path | bytes):
        raise TypeError(f"expected a Path or bytes. Received: {type(source).__name__}")
    with contained():
        try:
            return _decode_bytes(read_source(source, limits=limits), limits=limits)
        except BadImage as error:
            refusal = error
        except MemoryError:
            refusal = BadImage("expected an image that fits into memory. Received: a larger one", code="decode-memory")
        except Exception as error:  # decoders raise nearly every type there is
            refusal = BadImage(
                f"expected an image that can be decoded. Received: one that made the decoder fail ({_kind(error)})",
                code="decoder-failed",
            )
    # A new exception, outside the handlers: the decoder's own is not even its hidden context.
    raise BadImage(refusal.message, code=refusal.code)


def read_source(source: Path | bytes, *, limits: Limits) -> bytes:
    """The bytes of a file or of `source` itself, at most `limits.upload_bytes`. Raises `BadImage`."""
    if not isinstance(source, Path):
        if len(source) > limits.upload_bytes:
            raise _too_large(limits)
        return bytes(source)
    try:
        if not source.is_file():  # a pipe or a device could block or never end
            raise BadImage("expected a regular file that exists. Received: none", code="unreadable-file")
        return read_bounded(source, limit=limits.upload_bytes)
    except OSError:
        raise BadImage("expected a file that can be read. Received: a read error", code="unreadable-file") from None
    except BadImage:
        raise
    except InputRefused:
        raise _too_large(limits) from None


def is_candidate(path: Path) -> bool:
    """Whether a folder scan takes `path` for an image: a known suffix, or none at all and DICM at byte 128.

    Digits behind the last dot are no suffix: many archives name DICOM files by their UID, such as 1.2.840.10008.1.
    """
    if path.suffix and not path.suffix[1:].isdigit():
        return path.suffix.lower() in SUFFIXES
    try:
        if not path.is_file():
            return False
        with path.open("rb") as stream:
            return _is_dicom(stream.read(_DICM_AT + 4))
    except OSError:
        return False


class _Containment:
    """How many decodes are under way in all threads, and what to put back after the last of them.

    `warnings.catch_warnings` alone is not safe with threads: two that overlap leave the filters of one behind.
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


_CONTAINMENT = _Containment()


@contextlib.contextmanager
def contained() -> Iterator[None]:
    """Keep the warnings and log lines of decoders inside: they hold names and dates of patients."""
    _CONTAINMENT.enter()
    try:
        yield
    finally:
        _CONTAINMENT.leave()


def _decode_bytes(data: bytes, *, limits: Limits) -> Radiograph:
    from covid_xray.images.raster import read_raster

    if not data:
        raise BadImage("expected an image. Received: an empty file", code="empty")
    if data.startswith(headers.PNG_MAGIC):
        return read_raster(data, kind="PNG", limits=limits)
    if data.startswith(headers.JPEG_MAGIC):
        return read_raster(data, kind="JPEG", limits=limits)
    if _is_dicom(data):
        from covid_xray.images.dicom import read_dicom

        return read_dicom(data, limits=limits)
    raise BadImage("expected PNG, JPEG or DICOM. Received: other bytes", code="not-an-image")


def _is_dicom(data: bytes) -> bool:
    return data[_DICM_AT : _DICM_AT + 4] == b"DICM"


def _too_large(limits: Limits) -> BadImage:
    return BadImage(
        f"expected a file of at most {limits.upload_bytes:,} bytes. Received: a larger one", code="too-large"
    )


def _kind(error: Exception) -> str:
    """The exception's type, the only part of it that cannot hold a value of the file."""
    return type(error).__name__
