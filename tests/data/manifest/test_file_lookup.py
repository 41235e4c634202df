"""Lookup: what a name in a table may mean, and that the tree is listed only when it must be."""

from pathlib import Path

from covid_xray.data.manifest.file_lookup import Lookup, Place

FILES = ["train/covid/a.png", "train/normal/a.png", "test/b.jpeg", "b.dcm"]


def lookup(root: Path, calls: list[Path] | None = None) -> Lookup:
    def listed(folder: Path) -> list[str]:
        if calls is not None:
            calls.append(folder)
        return FILES

    return Lookup(root, listed)


def test_a_name_as_written_needs_no_listing(tmp_path):
    (tmp_path / "x.png").touch()
    calls: list[Path] = []
    found = lookup(tmp_path, calls)
    assert found.find("x.png") == ["x.png"]
    assert not calls
    assert found.find("y.png") == found.find("z.png") == []
    assert len(calls) == 1


def test_sub_folders_suffixes_and_labels(tmp_path):
    found = lookup(tmp_path)
    assert found.find("covid/a.png") == ["train/covid/a.png"]
    assert found.find("a.png") == ["train/covid/a.png", "train/normal/a.png"]
    assert found.find("a.png", place=Place("normal")) == ["train/normal/a.png"]
    assert found.find("a", place=Place("virus")) == ["train/covid/a.png", "train/normal/a.png"]
    assert found.find("b") == ["test/b.jpeg", "b.dcm"]
    assert found.find("test/b") == ["test/b.jpeg"]
    assert found.find("ovid/a.png") == []


def test_a_dot_names_no_file(tmp_path):
    assert [lookup(tmp_path).find(name) for name in (".", "./", "./.", "")] == [[], [], [], []]
