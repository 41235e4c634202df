"""Several manifests become one: rows, hashes, quarantine and sources are kept."""

from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from covid_xray.data.manifest.combine import combine
from covid_xray.data.manifest.manifest import read_manifest, write_manifest
from covid_xray.errors import BadManifest


def draw(path: Path, *, seed: int = 0) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    Image.fromarray(np.random.default_rng(seed).integers(0, 256, (16, 16), dtype=np.uint8)).save(path)
    return path


@pytest.fixture
def sets(tmp_path: Path) -> Path:
    draw(tmp_path / "one" / "covid" / "a.png", seed=1)
    draw(tmp_path / "one" / "normal" / "b.png", seed=2)
    (tmp_path / "one" / "normal" / "bad.png").write_text("no picture")
    draw(tmp_path / "deep" / "two" / "x.png", seed=3)
    (tmp_path / "deep" / "two" / "t.csv").write_text("image,label,source,age\nx.png,virus,clinic,7\n")
    return tmp_path


def test_rows_hashes_quarantine_and_sources_are_kept(sets):
    parts = [read_manifest(sets / "one"), read_manifest(sets / "deep" / "two" / "t.csv")]
    together = combine(parts)
    rows = together.table.set_index("image")
    assert rows[["label", "source", "age"]].T.to_dict("list") == {
        "one/covid/a.png": ["covid", "one", ""],
        "one/normal/b.png": ["normal", "one", ""],
        "deep/two/x.png": ["virus", "clinic", "7"],
    }
    assert together.quarantine["image"].tolist() == ["one/normal/bad.png"]
    assert together.found == sum(part.found for part in parts)
    assert all(together.path(image).is_file() for image in rows.index)
    write_manifest(together, sets / "elsewhere" / "all.csv")
    again = read_manifest(sets / "elsewhere" / "all.csv")  # checks every hash
    assert again.table["image"].tolist() == together.table["image"].tolist()


def test_one_file_in_two_manifests(sets):
    whole, same = read_manifest(sets / "one"), read_manifest(sets / "one")
    together = combine([whole, same])
    assert len(together.table) == 2
    assert any("2 files are in two" in note for note in together.notes)
    (sets / "one" / "t.csv").write_text("image,label\ncovid/a.png,normal\n")
    with pytest.raises(BadManifest, match="a.png is labelled covid and normal"):
        combine([whole, read_manifest(sets / "one" / "t.csv")])


def test_one_manifest_stays_as_it_is(sets):
    manifest = read_manifest(sets / "one")
    assert combine([manifest]) is manifest
