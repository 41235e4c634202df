"""The grey scale of a presentation state: dcmtk renders what the network saw, however the original describes it."""

import io
import subprocess
from pathlib import Path
from typing import Any

import numpy as np
import pydicom
import pytest
from PIL import Image

from covid_xray.images.decode import decode
from covid_xray.inference.predictor import Predictor
from covid_xray.pacs.results.result_objects import ResultBuilder
from support import studies
from support.chests import chest

BITS = 12
PIXELS = (np.add.outer(np.linspace(0, 2400, 96), np.linspace(0, 1600, 80)) + chest(height=96, width=80) / 4).astype(
    np.uint16
)


@pytest.fixture(scope="module")
def builder(tmp_path_factory: pytest.TempPathFactory) -> ResultBuilder:
    return ResultBuilder(
        Predictor(studies.make_lung_bundle(tmp_path_factory.mktemp("b") / "bundle")), kinds=["sr", "gsps"]
    )


def lut(*, bits: int, entries: int = 4096, first: int = 0) -> pydicom.Dataset:
    """A sigmoid table."""
    item = pydicom.Dataset()
    places = (np.arange(entries) - entries / 2) / (entries / 8)
    item.add_new("LUTDescriptor", "US", [entries, first, bits])
    item.add_new("LUTData", "OW", ((2**bits - 1) / (1 + np.exp(-places))).astype("<u2").tobytes())
    return item


CASES: dict[str, dict[str, Any]] = {
    "nothing": {},
    "window": {"WindowCenter": 1800, "WindowWidth": 2000},
    "two windows": {"WindowCenter": [1800, 900], "WindowWidth": [2000, 300]},
    "window after rescale": {
        "WindowCenter": 500,
        "WindowWidth": 1000,
        "RescaleSlope": 0.5,
        "RescaleIntercept": -300,
        "RescaleType": "US",
    },
    "exact": {"WindowCenter": 1800, "WindowWidth": 2000, "VOILUTFunction": "LINEAR_EXACT"},
    "sigmoid": {"WindowCenter": 1800, "WindowWidth": 1200, "VOILUTFunction": "SIGMOID"},
    "table of 12 bits": {"VOILUTSequence": [lut(bits=12)]},
    "table of 10 bits": {"VOILUTSequence": [lut(bits=10)]},
    "two tables": {"VOILUTSequence": [lut(bits=12), lut(bits=8)]},
    "table and windows": {
        "VOILUTSequence": [lut(bits=12)],
        "WindowCenter": [1800, 900],
        "WindowWidth": [2000, 300],
    },
}


def rendered(original: bytes, state: bytes, folder: Path) -> np.ndarray:
    """The original under its presentation state, as dcmtk renders it: H x W uint8."""
    (folder / "original.dcm").write_bytes(original)
    (folder / "state.dcm").write_bytes(state)
    command = ["dcmp2pgm", "-p", str(folder / "state.dcm"), str(folder / "original.dcm"), str(folder / "shown.pgm")]
    ran = subprocess.run(command, capture_output=True, text=True, check=False, timeout=120)
    assert ran.returncode == 0, ran.stderr
    return np.asarray(Image.open(folder / "shown.pgm"))


def compare(original: bytes, builder: ResultBuilder, folder: Path) -> pydicom.Dataset:
    studies.require("dcmp2pgm", "dciodvfy")
    state = builder.build(original).objects["gsps"]
    radiograph = decode(original)
    expected = radiograph.pixels.astype(float) * 255 / (2**radiograph.bits - 1)
    assert np.abs(rendered(original, state, folder) - expected).max() < 1.5  # dcmtk cuts off where others round
    assert expected.max() - expected.min() > 60  # there is something to see
    assert studies.errors_of(state, folder) == []
    return pydicom.dcmread(io.BytesIO(state))


@pytest.mark.parametrize("inverted", [False, True])
@pytest.mark.parametrize("name", CASES)
def test_dcmtk_shows_what_the_network_saw(name: str, inverted: bool, builder: ResultBuilder, tmp_path: Path) -> None:
    original = studies.film(PIXELS, bits=BITS, inverted=inverted, **CASES[name])
    state = compare(original, builder, tmp_path)
    item = state.SoftcopyVOILUTSequence[0]
    if name in ("nothing", "window", "two windows", "window after rescale"):  # a window that viewers can adjust
        assert state.PresentationLUTShape == ("INVERSE" if inverted else "IDENTITY")
        assert float(item.WindowCenter) == {"nothing": 2048, "window after rescale": 500}.get(name, 1800)
    else:
        assert len(item.VOILUTSequence) == 1
        assert "WindowCenter" not in item


@pytest.mark.parametrize("tags", [{}, {"WindowCenter": -400, "WindowWidth": 900, "VOILUTFunction": "SIGMOID"}])
def test_pixels_below_zero(tags: dict[str, Any], builder: ResultBuilder, tmp_path: Path) -> None:
    film = pydicom.dcmread(io.BytesIO(studies.film(PIXELS, bits=16, **tags)))
    film.PixelData = (PIXELS.astype(np.int32) * 12 - 20_000).astype("<i2").tobytes()
    film.PixelRepresentation = 1
    stream = io.BytesIO()
    if tags:
        film.WindowCenter, film.WindowWidth = -400, 20_000
    film.save_as(stream)
    compare(stream.getvalue(), builder, tmp_path)
