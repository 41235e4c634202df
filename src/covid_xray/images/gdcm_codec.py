"""GDCM, where it is installed: kept quiet, and asked directly for the one syntax that pydicom does not ask it for.

A JPEG stream of 12 bits in; H x W uint16 out. The bits are those that DCMTK reads out of the same stream.
"""

import importlib.util

import numpy as np
from numpy.typing import NDArray

from covid_xray.errors import BadImage


def is_installed() -> bool:
    """Whether the package python-gdcm can be imported."""
    return importlib.util.find_spec("gdcm") is not None


def silence() -> None:
    """Keep GDCM, where it is installed, from printing to the process's error stream."""
    if not is_installed():
        return
    import gdcm  # type: ignore[import-untyped]

    gdcm.Trace.WarningOff()
    gdcm.Trace.ErrorOff()


def decode_extended(stream: bytes, *, rows: int, columns: int) -> NDArray[np.uint16]:
    """Grey pixels, rows x columns, 0..4095, of a JPEG Extended stream of 12 bits that was found to have this size.

    Raises:
        BadImage: `damaged`, GDCM did not make as many pixels of it.
    """
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
    # Allocated as 12 bits: as 16 it tries its 16-bit decoder first, which complains on the error stream.
    image.SetPixelFormat(gdcm.PixelFormat(1, 12, 12, 11, 0))
    buffer = image.GetBuffer() or ""  # bytes of C, handed over as a str; None where it gave up
    pixels = buffer.encode("utf-8", "surrogateescape")
    if len(pixels) != 2 * rows * columns:
        raise BadImage("expected as many pixels as the tags say. Received: another number", code="damaged")
    return np.frombuffer(pixels, "<u2").reshape(rows, columns)
