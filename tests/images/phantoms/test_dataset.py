"""The drawn data set: formats, hospitals, faults, and counts that add up."""

import csv
import hashlib
import io
from pathlib import Path

import numpy as np
import pydicom
import pytest

from covid_xray.errors import BadImage, UsageError
from covid_xray.images.decode import decode
from covid_xray.images.phantoms.dataset import BROKEN, Summary, draw_dataset, to_dicom


@pytest.fixture(scope="module")
def drawn(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Summary]:
    root = tmp_path_factory.mktemp("drawn") / "set"
    return root, draw_dataset(root, patients=110, seed=3, size=64)


def rows(root: Path) -> list[dict[str, str]]:
    return list(csv.DictReader((root / "manifest.csv").read_text().splitlines()))


def test_counts_add_up(drawn: tuple[Path, Summary]) -> None:
    root, summary = drawn
    listed = rows(root)
    assert len(listed) == summary.files == summary.good + summary.copies + summary.recompressed + summary.broken
    assert {row["image"] for row in listed} == {f"images/{path.name}" for path in (root / "images").iterdir()}
    assert (summary.patients, summary.copies, summary.recompressed, summary.broken) == (110, 3, 3, 4)


def test_every_good_file_decodes_and_every_broken_one_is_refused(drawn: tuple[Path, Summary]) -> None:
    root, _ = drawn
    formats = set()
    for row in rows(root):
        path = root / row["image"]
        if path.name in BROKEN:
            with pytest.raises(BadImage):
                decode(path)
        else:
            radiograph = decode(path)
            formats.add((radiograph.source.format, radiograph.source.photometric, radiograph.bits))
    assert {name for name, _, _ in formats} == {"PNG", "JPEG", "DICOM"}
    assert {bits for _, _, bits in formats} == {8, 12, 16}
    assert {"MONOCHROME1", "MONOCHROME2", "RGB", "L"} <= {photometric for _, photometric, _ in formats}


def test_every_hospital_has_every_class(drawn: tuple[Path, Summary]) -> None:
    pairs = {(row["source"], row["label"]) for row in rows(drawn[0])}
    assert len(pairs) == 9


def test_copies_are_copies(drawn: tuple[Path, Summary]) -> None:
    root, _ = drawn
    digests: dict[str, list[str]] = {}
    for row in rows(root):
        digests.setdefault(hashlib.sha256((root / row["image"]).read_bytes()).hexdigest(), []).append(row["patient_id"])
    twins = [patients for patients in digests.values() if len(patients) > 1]
    assert len(twins) == 3
    assert sum(len(set(patients)) > 1 for patients in twins) == 1


def test_the_same_seed_draws_the_same_bytes(tmp_path: Path) -> None:
    for name in ("a", "b"):
        draw_dataset(tmp_path / name, patients=6, seed=1, size=48, clean=True)
    first, second = (
        {p.relative_to(tmp_path / n): p.read_bytes() for p in sorted((tmp_path / n).rglob("*")) if p.is_file()}
        for n in ("a", "b")
    )
    assert first == second


def test_clean_has_no_faults(tmp_path: Path) -> None:
    summary = draw_dataset(tmp_path / "c", patients=6, size=48, clean=True)
    assert summary.files == summary.good
    calls: list[tuple[int, int]] = []
    draw_dataset(tmp_path / "d", patients=3, size=48, clean=True, progress=lambda *a: calls.append(a))
    assert calls == [(1, 3), (2, 3), (3, 3)]


@pytest.mark.parametrize("inverted", [False, True])
def test_dicom_keeps_the_picture_and_names_nobody(inverted: bool) -> None:
    pixels = np.tile(np.arange(0, 250, 10, dtype=np.uint8), (20, 1))
    data = to_dicom(pixels, patient_id="P0001", inverted=inverted)
    radiograph = decode(data)
    np.testing.assert_allclose(radiograph.pixels / 4095 * 255, pixels, atol=1.0)
    dataset = pydicom.dcmread(io.BytesIO(data))
    assert dataset.PatientName == "Phantom^Nobody"
    assert dataset.PhotometricInterpretation == ("MONOCHROME1" if inverted else "MONOCHROME2")


def test_a_dicom_file_and_its_row_name_the_same_view(drawn: tuple[Path, Summary]) -> None:
    root, _ = drawn
    good = [row for row in rows(root) if row["image"].endswith(".dcm") and Path(row["image"]).name not in BROKEN]
    views = {(pydicom.dcmread(root / row["image"]).ViewPosition, row["view"]) for row in good}
    assert views == {("PA", "PA"), ("AP", "AP")}


def test_three_patients_a_hospital_are_three_classes(tmp_path: Path) -> None:
    for seed in range(3):
        draw_dataset(tmp_path / str(seed), patients=9, size=32, seed=seed, clean=True)
        assert len({(row["source"], row["label"]) for row in rows(tmp_path / str(seed))}) == 9


def test_a_set_too_small_for_its_faults_is_refused(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="needs at least 3"):
        draw_dataset(tmp_path / "s", patients=2)
    assert not (tmp_path / "s").exists()
