"""Small test pictures and the files that hold them, written by Pillow, pydicom, GDCM, or byte by byte."""

import io
import struct
import zlib
from pathlib import Path
from typing import Any

import numpy as np
import pydicom
from numpy.typing import NDArray
from PIL import Image
from pydicom.dataset import Dataset, FileMetaDataset
from pydicom.encaps import encapsulate
from pydicom.sequence import Sequence
from pydicom.uid import UID, ExplicitVRLittleEndian, RLELossless, generate_uid

JPEG_BASELINE, JPEG_EXTENDED = "1.2.840.10008.1.2.4.50", "1.2.840.10008.1.2.4.51"
JPEG_LOSSLESS, JPEG_LOSSLESS_SV1 = "1.2.840.10008.1.2.4.57", "1.2.840.10008.1.2.4.70"
JPEG_LS, JPEG_LS_NEAR = "1.2.840.10008.1.2.4.80", "1.2.840.10008.1.2.4.81"
NEAR = 3  # the largest error of JPEG-LS near-lossless, in grey levels
HTJ2K = tuple(f"1.2.840.10008.1.2.4.{number}" for number in (201, 202, 203))
J2K_LOSSLESS, J2K = "1.2.840.10008.1.2.4.90", "1.2.840.10008.1.2.4.91"


def picture(height: int = 96, width: int = 80, *, bits: int = 8) -> NDArray[Any]:
    """A smooth ramp with waves, a disc and a frame; nothing is symmetric, and 0 and white both occur."""
    rows, columns = np.mgrid[0:height, 0:width]
    values = rows / height + 0.3 * np.sin(columns / 7) + 0.2 * np.cos((rows + 2 * columns) / 11)
    values[(rows - height / 3) ** 2 + (columns - width / 4) ** 2 < (width / 6) ** 2] += 0.8
    values[:2] = values.min()
    values = (values - values.min()) / (values.max() - values.min())
    return np.rint(values * (2**bits - 1)).astype(np.uint8 if bits == 8 else np.uint16)


def saved(image: Image.Image, kind: str, **options: Any) -> bytes:
    stream = io.BytesIO()
    image.save(stream, kind, **options)
    return stream.getvalue()


def png(pixels: NDArray[Any], **options: Any) -> bytes:
    return saved(Image.fromarray(pixels), "PNG", **options)


def jpeg(pixels: NDArray[Any], **options: Any) -> bytes:
    return saved(Image.fromarray(pixels), "JPEG", **options)


def chunk(kind: bytes, body: bytes) -> bytes:
    return struct.pack(">I", len(body)) + kind + body + struct.pack(">I", zlib.crc32(kind + body))


def raw_png(*chunks: bytes) -> bytes:
    return b"\x89PNG\r\n\x1a\n" + b"".join(chunks)


def header_chunk(width: int, height: int, *, depth: int = 8, colour: int = 0, interlaced: int = 0) -> bytes:
    return chunk(b"IHDR", struct.pack(">IIBBBBB", width, height, depth, colour, 0, 0, interlaced))


def lut(values: Any, *, first: int = 0, bits: int = 12) -> Sequence:
    """A LUT sequence of one item."""
    item = Dataset()
    item.add_new("LUTDescriptor", "SS" if first < 0 else "US", [len(values) % 65536, first, bits])
    item.add_new("LUTData", "OW", np.asarray(values, "<u2").tobytes())
    return Sequence([item])


def dicom(
    pixels: NDArray[Any],
    *,
    syntax: str = ExplicitVRLittleEndian,
    bits: int = 12,
    photometric: str = "MONOCHROME2",
    frame: bytes | None = None,
    **tags: Any,
) -> bytes:
    """A DICOM file of the pixels as they are; `frame` stands for them as one compressed frame when given."""
    dataset = Dataset()
    dataset.file_meta = FileMetaDataset()
    dataset.file_meta.MediaStorageSOPClassUID = "1.2.840.10008.5.1.4.1.1.1.1"
    dataset.file_meta.MediaStorageSOPInstanceUID = generate_uid(entropy_srcs=["test"])
    dataset.file_meta.TransferSyntaxUID = UID(syntax if frame or syntax not in _ENCODED else ExplicitVRLittleEndian)
    dataset.SOPClassUID, dataset.SOPInstanceUID = "1.2.840.10008.5.1.4.1.1.1.1", generate_uid(entropy_srcs=["test"])
    dataset.Modality = "DX"
    dataset.Rows, dataset.Columns = pixels.shape[:2]
    dataset.SamplesPerPixel = 3 if pixels.ndim == 3 else 1
    dataset.PhotometricInterpretation = photometric
    if pixels.ndim == 3:
        dataset.PlanarConfiguration = 0
    dataset.BitsAllocated, dataset.BitsStored, dataset.HighBit = 8 * pixels.itemsize, bits, bits - 1
    dataset.PixelRepresentation = int(pixels.dtype.kind == "i")
    dataset.PixelData = encapsulate([frame]) if frame else pixels.tobytes() + b"\0" * (pixels.nbytes % 2)
    dataset["PixelData"].VR = "OB" if frame or pixels.itemsize == 1 else "OW"
    with pydicom.config.disable_value_validation():  # some tests want what the standard forbids
        for keyword, value in tags.items():
            setattr(dataset, keyword, value)
    if syntax in (RLELossless, J2K_LOSSLESS) and not frame:
        dataset.compress(syntax, generate_instance_uid=False)
    data = written(dataset)
    return _through_gdcm(data, syntax) if syntax in _BY_GDCM and not frame else data


def written(dataset: Dataset) -> bytes:
    stream = io.BytesIO()
    with pydicom.config.disable_value_validation():
        pydicom.dcmwrite(stream, dataset, enforce_file_format=True)
    return stream.getvalue()


_BY_GDCM = {
    JPEG_LOSSLESS: "JPEGLosslessProcess14",
    JPEG_LOSSLESS_SV1: "JPEGLosslessProcess14_1",
    JPEG_LS: "JPEGLSLossless",
    JPEG_LS_NEAR: "JPEGLSNearLossless",
}
_ENCODED = {*_BY_GDCM, RLELossless, J2K_LOSSLESS}


def _through_gdcm(data: bytes, syntax: str) -> bytes:
    import tempfile

    import gdcm

    with tempfile.TemporaryDirectory() as folder:
        before, after = Path(folder) / "before.dcm", Path(folder) / "after.dcm"
        before.write_bytes(data)
        reader = gdcm.ImageReader()
        reader.SetFileName(str(before))
        assert reader.Read()
        change = gdcm.ImageChangeTransferSyntax()
        change.SetTransferSyntax(gdcm.TransferSyntax(getattr(gdcm.TransferSyntax, _BY_GDCM[syntax])))
        near = gdcm.JPEGLSCodec()
        near.SetLossless(False)
        near.SetLossyError(NEAR)
        if syntax == JPEG_LS_NEAR:
            change.SetUserCodec(near)
        change.SetInput(reader.GetImage())
        assert change.Change()
        writer = gdcm.ImageWriter()
        writer.SetFileName(str(after))
        writer.SetFile(reader.GetFile())
        writer.SetImage(change.GetOutput())
        assert writer.Write()
        return after.read_bytes()
