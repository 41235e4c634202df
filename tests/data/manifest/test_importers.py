"""Importers of any public table: what cannot be the data set, or leaves its folder, is refused."""

from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from covid_xray.data.manifest.public_datasets import dataset_names, import_source
from covid_xray.errors import BadManifest


def draw(root: Path, *names: str) -> Path:
    for name in names:
        path = root / name
        path.parent.mkdir(parents=True, exist_ok=True)
        seed = sum(map(ord, name))
        pixels = np.random.default_rng(seed).integers(0, 256, (16, 20), dtype=np.uint8)
        Image.fromarray(pixels).save(path, format="PNG" if path.suffix.lower() == ".png" else "JPEG")
    return root


def write(path: Path, *lines: str, encoding: str = "utf-8") -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text("\n".join(lines) + "\n", encoding=encoding)


def test_paths_of_a_public_table_cannot_leave_the_folder(tmp_path):
    draw(tmp_path, "secret.png", "set/images/a.png")
    write(
        tmp_path / "set" / "metadata.csv",
        "patientid,finding,view,modality,imagename",
        "1,COVID-19,PA,X-ray,../secret.png",
        f"2,COVID-19,PA,X-ray,{tmp_path}/secret.png",
        "3,COVID-19,PA,X-ray,a.png",
    )
    manifest = import_source("actualmed", tmp_path / "set")
    assert manifest.table["image"].tolist() == ["images/a.png"]
    assert set(manifest.quarantine["code"]) == {"missing-file"}


@pytest.mark.parametrize("name", dataset_names())
def test_a_folder_of_something_else_is_refused(tmp_path, name):
    draw(tmp_path, "holiday/beach.png")
    with pytest.raises(BadManifest):
        import_source(name, tmp_path / "nowhere")
    if name != "cxr":
        with pytest.raises(BadManifest, match="column|No "):
            import_source(name, tmp_path)
