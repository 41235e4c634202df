"""Measure the cost of decoding one large DICOM: a drawn chest of 2,500 x 2,048 pixels in 16 bits."""

import io
import time
from statistics import median

import numpy as np

HEIGHT, WIDTH, BITS = 2500, 2048, 12
TURNS = 5
SYNTAXES = {"uncompressed": "1.2.840.10008.1.2.1", "JPEG 2000 lossless": "1.2.840.10008.1.2.4.90"}


def dicom_costs() -> dict[str, dict[str, float]]:
    """Map each transfer syntax to bytes and to core-milliseconds of decoding and of preparing the network's input."""
    from covid_xray.inference.io.inputs import open_source
    from covid_xray.inference.predictor import Predictor
    from covid_xray.limits import Limits

    found, predictor = {}, Predictor(threads=1)
    for name, syntax in SYNTAXES.items():
        data = dicom(syntax)
        times = []
        for _ in range(TURNS):
            began = time.process_time()
            film = open_source(data, limits=Limits())
            decoded = time.process_time()
            predictor.view(film)
            times.append((1e3 * (decoded - began), 1e3 * (time.process_time() - decoded)))
        decode, view = (median(column) for column in zip(*times, strict=True))
        found[name] = {"decode_ms": decode, "lungs_and_gate_ms": view, "bytes": len(data)}
    return found


def dicom(syntax: str) -> bytes:
    """Draw a DICOM file of that transfer syntax."""
    from pydicom.dataset import Dataset, FileMetaDataset
    from pydicom.uid import DigitalXRayImageStorageForPresentation, generate_uid

    from support.films import film

    grain = np.random.default_rng(0).normal(0, 6, (HEIGHT, WIDTH))  # the noise of a detector, which compresses badly
    pixels = np.clip(film(0, height=HEIGHT, width=WIDTH) * 14.0 + grain, 0, 2**BITS - 1).astype(np.uint16)
    made = Dataset()
    made.file_meta = FileMetaDataset()
    made.file_meta.TransferSyntaxUID = SYNTAXES["uncompressed"]
    made.file_meta.MediaStorageSOPClassUID = made.SOPClassUID = DigitalXRayImageStorageForPresentation
    made.file_meta.MediaStorageSOPInstanceUID = made.SOPInstanceUID = generate_uid()
    made.Modality, made.PhotometricInterpretation, made.PixelRepresentation = "DX", "MONOCHROME2", 0
    made.Rows, made.Columns, made.SamplesPerPixel = HEIGHT, WIDTH, 1
    made.BitsAllocated, made.BitsStored, made.HighBit = 16, BITS, BITS - 1
    made.PixelData = pixels.tobytes()
    if syntax != SYNTAXES["uncompressed"]:
        made.compress(syntax, generate_instance_uid=False)
    out = io.BytesIO()
    made.save_as(out, enforce_file_format=True)
    return out.getvalue()
