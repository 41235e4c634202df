"""Keep GDCM quiet and in child processes, and decode 12-bit JPEG Extended with it, which pydicom does not.

The decoded values equal those of DCMTK. GDCM throws C++ exceptions at some damaged files that nothing in Python can
catch: they end the process.
"""

import importlib.util

import numpy as np
from numpy.typing import NDArray

from covid_xray.errors import BadImage

NEEDS_CHILD = "needs-child-process"
_process = {"may die": False}


def allow() -> None:
    """Let GDCM decode in this process, a child that may die."""
    _process["may die"] = True


def require_child() -> None:
    """Raise `BadImage` with `NEEDS_CHILD` unless this process is a child that may die."""
    if not _process["may die"]:
        raise BadImage("GDCM decodes this image, in a child process only.", code=NEEDS_CHILD)


def is_installed() -> bool:
    """Return whether the package python-gdcm can be imported."""
    return importlib.util.find_spec("gdcm") is not None


def silence() -> None:
    """Stop GDCM, if installed, from printing to the process's error stream."""
    if not is_installed():
        return
    import gdcm  # type: ignore[import-untyped]

    gdcm.Trace.WarningOff()
    gdcm.Trace.ErrorOff()


def decode_extended(stream: bytes, *, rows: int, columns: int) -> NDArray[np.uint16]:
    """Decode a JPEG Extended stream of 12 bits into rows x columns grey pixels, 0..4095. Raises `BadImage`."""
    import gdcm

    fragment = gdcm.Fragment()
    fragment.SetByteStringValue(stream)
    fragments = gdcm.SequenceOfFragments.New()
    fragments.AddFragment(fragment)
    element = gdcm.DataElement(gdcm.Tag(0x7FE0, 0x0010))
    element.SetValue(fragments.__ref__())
    image = gdcm.Image()
    image.SetNumberOfDimensions(2)
    image.SetDimensions((columns, rows, 1))
    image.SetDataElement(element)
    kinds = gdcm.PhotometricInterpretation
    image.SetPhotometricInterpretation(kinds(kinds.MONOCHROME2))
    image.SetTransferSyntax(gdcm.TransferSyntax(gdcm.TransferSyntax.JPEGExtendedProcess2_4))
    # Allocated as 12 bits: with 16 GDCM tries its 16-bit decoder first, which prints to the error stream.
    image.SetPixelFormat(gdcm.PixelFormat(1, 12, 12, 11, 0))
    buffer = image.GetBuffer() or ""  # C bytes as a str; None on failure
    pixels = buffer.encode("utf-8", "surrogateescape")
    if len(pixels) != 2 * rows * columns:
        raise BadImage("The number of pixels differs from that in the tags.", code="damaged")
    return np.frombuffer(pixels, "<u2").reshape(rows, columns)
