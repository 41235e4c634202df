"""Readers of DICOM segmentations other than our own libraries: dcmqi, and Cornerstone, which the OHIF viewer uses."""

import gzip
import json
import shutil
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

ROOT = Path(__file__).parents[2]
NODE_MODULES = ROOT / "build" / "npm" / "node_modules"


def read_with_dcmqi(segmentation: bytes, folder: Path) -> np.ndarray:
    """The mask that dcmqi's segimage2itkimage writes: H x W bool."""
    program = Path(sys.executable).with_name("segimage2itkimage")
    if not program.is_file():
        pytest.skip("needs dcmqi: pip install dcmqi")
    (folder / "segmentation.dcm").write_bytes(segmentation)
    command = [program, "--inputDICOM", folder / "segmentation.dcm", "--outputDirectory", folder, "-t", "nrrd"]
    ran = subprocess.run(command, capture_output=True, text=True, check=False, timeout=120)
    assert ran.returncode == 0, ran.stdout + ran.stderr
    header, _, body = (folder / "1.nrrd").read_bytes().partition(b"\n\n")
    facts = dict(line.split(": ", 1) for line in header.decode().splitlines() if ": " in line)
    columns, rows, frames = map(int, facts["sizes"].split())
    assert frames == 1
    words = {"unsigned char": "u1", "short": "<i2", "unsigned short": "<u2"}[facts["type"]]
    data = gzip.decompress(body) if facts["encoding"] == "gzip" else body
    return np.frombuffer(data, words).reshape(rows, columns) > 0


def read_with_cornerstone(segmentation: bytes, original: bytes, folder: Path) -> np.ndarray:
    """The mask that Cornerstone lays over the original: H x W bool."""
    if shutil.which("node") is None or not NODE_MODULES.is_dir():
        pytest.skip("needs packages of npm: bash scripts/npm_packages.sh")
    paths = [folder / "segmentation.dcm", folder / "original.dcm"]
    for path, data in zip(paths, (segmentation, original), strict=True):
        path.write_bytes(data)
    command = ["node", Path(__file__).with_name("read_segmentation.mjs"), NODE_MODULES, *paths]
    ran = subprocess.run(command, capture_output=True, text=True, check=False, timeout=120)
    assert ran.returncode == 0, ran.stderr
    found = json.loads(ran.stdout.splitlines()[-1])
    mask = np.zeros((found["rows"], found["columns"]), bool)
    mask.flat[found["inside"]] = True
    return mask
