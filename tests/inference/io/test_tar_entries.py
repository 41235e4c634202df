"""Tar archives are read as zip archives are: by content, under limits, with a count of what is passed over."""

import io
import tarfile
from collections import Counter
from pathlib import Path

import pytest

from covid_xray.errors import BadImage
from covid_xray.inference.io.inputs import expand
from covid_xray.inference.io.tar_entries import is_tar, list_images, read_entry
from covid_xray.limits import Limits
from support import drawing

PNG = drawing.png(drawing.picture())
DICOM = drawing.dicom(drawing.picture(), bits=8)
REPORT = DICOM.replace(b"1.2.840.10008.5.1.4.1.1.1.1\0", b"1.2.840.10008.5.1.4.1.1.88.1", 1)
MODES = {"a.tar": "w", "b.tar.gz": "w:gz", "c.tgz": "w:gz", "d.tar.bz2": "w:bz2", "e.tar.xz": "w:xz"}


def packed(path: Path, files: dict[str, bytes], mode: str = "w") -> Path:
    with tarfile.open(path, mode) as archive:  # type: ignore[call-overload]
        for name, data in files.items():
            info = tarfile.TarInfo(name)
            info.size = len(data)
            archive.addfile(info, io.BytesIO(data))
    return path


@pytest.mark.parametrize("name", MODES)
def test_a_cd_in_an_archive_is_known_by_content(name: str, tmp_path: Path) -> None:
    images = {"CD/IM2": DICOM, "CD/IM1": DICOM, "CD/X.IMA": DICOM, "CD/1.2.3": DICOM, "CD/IM.DC3": DICOM, "a.png": PNG}
    others = {"CD/DICOMDIR": DICOM, "CD/SR1": REPORT, "CD/SR.dcm": REPORT, "AUTORUN.INF": b"x", ".x/h.png": PNG}
    path = packed(tmp_path / name, images | others, MODES[name])
    passed: Counter[str] = Counter()
    items = list(expand([path], limits=Limits(zip_ratio=1e9), passed_over=passed))
    assert [item.name for item in items] == [f"{path}/{name}" for name in images]
    assert [item.read(Limits()) for item in reversed(items)] == [images[name] for name in reversed(images)]
    assert passed == {"DICOMDIR": 1, "DICOM without an image": 2, ".inf": 1}


@pytest.mark.parametrize("limits", [{"zip_entries": 1}, {"zip_bytes": 2000}, {"zip_ratio": 0.1}])
def test_an_archive_beyond_the_limits_is_refused(limits: dict, tmp_path: Path) -> None:
    path = packed(tmp_path / "a.tar", {"a.png": PNG, "b.png": PNG})
    with pytest.raises(BadImage) as refusal:
        list_images(path, Limits(**limits), Counter())
    assert refusal.value.code == "zip-limits"
    (item,) = expand([path], limits=Limits(**limits))
    assert item.problem == "zip-limits"


def test_damaged_and_empty_archives_have_their_codes(tmp_path: Path) -> None:
    (tmp_path / "a.tar").write_bytes(b"no tar at all")
    packed(tmp_path / "b.tar", {"notes.txt": b"x"})
    link = tarfile.TarInfo("c.png")
    link.type, link.linkname = tarfile.SYMTYPE, "/etc/passwd"
    with tarfile.open(tmp_path / "c.tar", "w") as archive:
        archive.addfile(link)
    found = list(expand(sorted(tmp_path.glob("*.tar")), limits=Limits()))
    assert [item.problem for item in found] == ["bad-tar", "no-images", "no-images"]


def test_an_entry_is_read_up_to_the_limit_of_a_file(tmp_path: Path) -> None:
    path = packed(tmp_path / "a.tar", {"a.png": PNG})
    assert read_entry(path, "a.png", Limits(upload_bytes=len(PNG))) == PNG
    for name, limits, code in (("a.png", Limits(upload_bytes=len(PNG) - 1), "too-large"), ("b", Limits(), "bad-tar")):
        with pytest.raises(BadImage) as refusal:
            read_entry(path, name, limits)
        assert refusal.value.code == code


def test_archives_are_told_by_their_names() -> None:
    assert all(is_tar(Path(name)) for name in [*MODES, "A.TAR"])
    assert not is_tar(Path("a.nii.gz"))
