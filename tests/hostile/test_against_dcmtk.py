"""The grey of public DICOM files and of 200 generated ones against DCMTK, with GDCM for what DCMTK does not decompress.

`pytest -s` prints the mean and the largest difference by kind. A file that differs by more than 2 % of white must be
in `KNOWN` with its reason.
"""

import importlib.util
import io
import shutil
import subprocess
from collections import defaultdict
from pathlib import Path

import numpy as np
import pydicom
import pydicom.data
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray
from PIL import Image
from pydicom.uid import ExplicitVRLittleEndian, ImplicitVRLittleEndian, RLELossless

from covid_xray.errors import BadImage
from covid_xray.images.decode import decode
from covid_xray.images.sandbox import decode_limited
from support import drawing

needs_dcmtk = pytest.mark.skipif(not shutil.which("dcm2pnm"), reason="needs dcmtk: bash scripts/debian_packages.sh")
TOLERANCE = 0.02  # share of white
KNOWN: dict[str, str] = {}
PACKAGES = ("pydicom.data", "data_store", "pydicom_data", "ljdata", "pylibjpeg_data")  # the last four may be absent
FOLDERS = [Path("/usr/share/doc/dicom3tools"), Path("/usr/share/dcmtk")]
DECOMPRESS = {  # transfer syntax: program of DCMTK
    **dict.fromkeys(("50", "51", "57", "70"), "dcmdjpeg"),
    **dict.fromkeys(("80", "81"), "dcmdjpls"),
}


def files() -> list[Path]:
    found = []
    for name in PACKAGES:
        spec = importlib.util.find_spec(name) if "." not in name or importlib.util.find_spec("pydicom") else None
        found += [Path(place) for place in (spec.submodule_search_locations or [])] if spec else []
    paths = {path for folder in [*found, *FOLDERS] if folder.is_dir() for path in folder.rglob("*") if path.is_file()}
    return sorted(path for path in paths if path.suffix not in (".py", ".pyc", ".gz", ".json", ".md"))


def tags_of(path: Path) -> pydicom.Dataset:
    return pydicom.dcmread(path, stop_before_pixels=True, force=True)


def plain(path: Path, folder: Path) -> Path | None:
    """The file uncompressed by DCMTK or GDCM; None where neither does."""
    syntax = str(tags_of(path).file_meta.get("TransferSyntaxUID", ""))
    out = folder / "plain.dcm"
    out.unlink(missing_ok=True)
    program = DECOMPRESS.get(syntax.rpartition("1.2.840.10008.1.2.4.")[2])
    if program:
        subprocess.run([program, "-q", str(path), str(out)], capture_output=True, timeout=60, check=False)
    elif ".1.2.4." in syntax:
        through_gdcm(path, out)
    else:
        return path
    return out if out.is_file() else None


def through_gdcm(path: Path, out: Path) -> None:
    gdcm = pytest.importorskip("gdcm")
    gdcm.Trace.WarningOff()
    gdcm.Trace.ErrorOff()
    reader = gdcm.ImageReader()
    reader.SetFileName(str(path))
    change = gdcm.ImageChangeTransferSyntax()
    change.SetTransferSyntax(gdcm.TransferSyntax(gdcm.TransferSyntax.ExplicitVRLittleEndian))
    if reader.Read():
        change.SetInput(reader.GetImage())
        if change.Change():
            writer = gdcm.ImageWriter()
            writer.SetFileName(str(out))
            writer.SetFile(reader.GetFile())
            writer.SetImage(change.GetOutput())
            writer.Write()


def of_dcmtk(path: Path, folder: Path) -> tuple[NDArray[np.float64], bool] | None:
    """Grey of the first frame, 0..1, and whether a window or a LUT made it; None where DCMTK cannot."""
    tags = tags_of(path)
    out = folder / "grey.pnm"
    lut = bool(tags.get("VOILUTSequence"))
    window = tags.get("WindowWidth") not in (None, "")
    option = ["+Wl", "1"] if lut else ["+Wi", "1"] if window else ["-W"]
    for attempt in (option, ["-W"]):
        out.unlink(missing_ok=True)
        command = ["dcm2pnm", "-q", "-O", *attempt, "+opw", str(path), str(out)]  # -O: no overlays
        subprocess.run(command, capture_output=True, timeout=60, check=False)
        if out.is_file() and out.stat().st_size:
            with Image.open(out) as image:
                white = 255.0 if image.mode in ("L", "RGB") else 65_535.0
                grey = np.asarray(image.convert("L") if image.mode == "RGB" else image, np.float64) / white
            return grey, attempt == option and option != ["-W"]
    return None


def difference(path: Path, folder: Path) -> tuple[str, float, float] | str:
    """Kind, mean and largest difference of the files of `path`; or why there is nothing to compare."""
    try:
        radiograph = decode_limited(path)
    except BadImage as error:
        return f"ours: {error.code}"
    readable = plain(path, folder)
    theirs = of_dcmtk(readable, folder) if readable else None
    if readable is None or theirs is None:
        return "not read by DCMTK"
    tags = tags_of(readable)
    grey, windowed = theirs
    stored = int(tags.get("BitsStored", 8))
    if not windowed and radiograph.bits < stored:  # we show the significant bits, DCMTK the stored ones
        bits, values = radiograph.bits, grey * (2**stored - 1)
        if tags.PixelRepresentation == 1:
            values -= 2 ** (stored - 1)
            values += 2 ** (bits - 1) if values.min() < -0.5 else 0
        grey = np.clip(values / (2**bits - 1), 0, 1)
    grey = np.rot90(grey, radiograph.source.turned)
    if grey.shape != radiograph.pixels.shape:
        return "another size"
    away = np.abs(grey - radiograph.pixels / (2.0**radiograph.bits - 1))
    syntax = tags_of(path).file_meta.get("TransferSyntaxUID", "none")
    return f"{getattr(syntax, 'name', syntax)}, {tags.PhotometricInterpretation}", float(away.mean()), float(away.max())


@needs_dcmtk
@pytest.mark.filterwarnings("ignore")  # of pydicom, about the files
def test_public_files_have_the_grey_of_dcmtk(tmp_path: Path) -> None:
    kinds: dict[str, list[tuple[float, float]]] = defaultdict(list)
    skipped: dict[str, int] = defaultdict(int)
    off = {}
    for path in files():
        found = difference(path, tmp_path)
        if isinstance(found, str):
            skipped[found] += 1
            continue
        kind, mean, most = found
        kinds[kind].append((mean, most))
        if most > TOLERANCE:
            off[path.name] = (kind, round(mean, 4), round(most, 4))
    for kind, both in sorted(kinds.items()):
        means, mosts = zip(*both, strict=True)
        print(f"{kind}: {len(both)} files, mean difference {np.mean(means):.4f}, largest {max(mosts):.4f}")
    print(dict(skipped))
    for name, what in off.items():
        print("OFF", name, what)
    assert sum(map(len, kinds.values())) >= 50
    assert set(off) <= set(KNOWN)


SYNTAXES = [ImplicitVRLittleEndian, ExplicitVRLittleEndian, RLELossless]
SYNTAXES += [drawing.J2K_LOSSLESS] if importlib.util.find_spec("openjpeg") else []
HAVE_GDCM = importlib.util.find_spec("gdcm") is not None
SYNTAXES += [drawing.JPEG_LOSSLESS, drawing.JPEG_LOSSLESS_SV1, drawing.JPEG_LS] if HAVE_GDCM else []


@settings(max_examples=200, deadline=None, database=None, derandomize=True, suppress_health_check=[*HealthCheck])
@given(
    bits=st.sampled_from([8, 10, 12, 14, 16]),
    room=st.sampled_from([0, 0, 2, 4]),
    left=st.booleans(),
    signed=st.booleans(),
    syntax=st.sampled_from(SYNTAXES),
    voi=st.sampled_from(["window", "exact", "sigmoid", "lut", "none"]),
    photometric=st.sampled_from(["MONOCHROME1", "MONOCHROME2", "INVERSE"]),
    slope=st.sampled_from([1.0, 2.0, -1.0, 0.5]),
    intercept=st.sampled_from([0.0, -1000.0, 17.0]),
    share=st.tuples(st.floats(0.2, 0.8), st.floats(0.1, 1.5)),
)
def test_generated_files_have_the_grey_that_was_meant(
    bits: int,
    room: int,
    left: bool,
    signed: bool,
    syntax: str,
    voi: str,
    photometric: str,
    slope: float,
    intercept: float,
    share: tuple[float, float],
) -> None:
    """`room`: bits of the word above or, with `left`, below the stored ones; `share`: of the range, the window's."""
    allocated = 8 if bits == 8 and not (room and left) else 16
    room = min(room, allocated - bits)
    whole = bits + room if room and left else bits
    codes = drawing.picture(40, 32, bits=bits).astype(np.int64)
    stored = codes - (1 << (bits - 1)) if signed else codes
    word = (stored << room) if left else stored
    words = word.astype(f"i{allocated // 8}" if signed else f"u{allocated // 8}")
    values = stored * slope + intercept if voi != "lut" else stored.astype(float)
    low, high = sorted(((stored.min() * slope) + intercept, (stored.max() * slope) + intercept))
    centre, width = low + share[0] * (high - low), max(40.0, share[1] * (high - low))
    tags: dict[str, object] = {}
    if voi != "lut":
        tags |= {"RescaleSlope": f"{slope:g}", "RescaleIntercept": f"{intercept:g}"}
    if voi in ("window", "exact", "sigmoid"):
        centre, width = float(f"{centre:.6g}"), float(f"{width:.6g}")
        tags |= {"WindowCenter": f"{centre:.6g}", "WindowWidth": f"{width:.6g}"}
        tags["VOILUTFunction"] = {"window": "LINEAR", "exact": "LINEAR_EXACT", "sigmoid": "SIGMOID"}[voi]
    if voi == "window":
        meant = np.clip((values - (centre - 0.5)) / (width - 1) + 0.5, 0, 1)
    elif voi == "exact":
        meant = np.clip((values - centre) / width + 0.5, 0, 1)
    elif voi == "sigmoid":
        meant = 1 / (1 + np.exp(-4 * (values - centre) / width))
    elif voi == "lut":
        table = np.rint(4095 * np.sqrt(np.linspace(0, 1, min(1 << bits, 65_535))))
        tags["VOILUTSequence"] = drawing.lut(table, first=int(stored.min()), bits=12)
        meant = table[np.minimum(codes, len(table) - 1)] / 4095
    else:
        meant = (values - low) / (high - low)
    if photometric == "INVERSE":
        tags["PresentationLUTShape"] = "INVERSE"
    meant = 1 - meant if photometric != "MONOCHROME2" else meant
    kind = "MONOCHROME1" if photometric == "INVERSE" else photometric
    data = drawing.dicom(words, syntax=syntax, bits=whole, photometric=kind, **tags)
    if whole != bits:  # the encoder was told of the whole word
        dataset = pydicom.dcmread(io.BytesIO(data))
        dataset.BitsStored = bits
        data = drawing.written(dataset)
    radiograph = decode(data)
    assert np.abs(radiograph.pixels / (2.0**radiograph.bits - 1) - meant).max() <= 0.006
