"""What a killed writer leaves is cleared, what a living one writes is not, and a swap is one step or can be undone."""

from pathlib import Path

import pytest

from covid_xray import files, partial


def test_leftovers_are_cleared_and_living_writers_are_not(tmp_path: Path) -> None:
    dead_file, dead_folder = tmp_path / ".partial-0123abcd-a.txt", tmp_path / ".partial-0123abcd-b"
    dead_file.write_text("half")
    (dead_folder / "deep").mkdir(parents=True)
    others = [tmp_path / ".partial-notes", tmp_path / ".partial-0123ABCD-a.txt", tmp_path / "a.txt"]
    for path in others:
        path.write_text("mine")
    with partial.for_file(tmp_path / "a.txt") as alive, partial.for_folder(tmp_path / "b") as also:
        assert set(partial.clear(tmp_path)) == {dead_file, dead_folder}
        assert alive.exists()
        assert also.exists()
    assert sorted(tmp_path.iterdir()) == sorted(others)


def test_a_folder_of_a_killed_writer_is_cleared_by_the_next(tmp_path: Path) -> None:
    (tmp_path / ".partial-0123abcd-b").mkdir()
    (tmp_path / ".partial-0123abcd-other").mkdir()
    with files.replacing_folder(tmp_path / "b") as temporary:
        (temporary / "x").write_text("x")
    assert sorted(path.name for path in tmp_path.iterdir()) == [".partial-0123abcd-other", "b"]


@pytest.fixture(params=[True, False], ids=["one step", "two steps"])
def folders(request: pytest.FixtureRequest, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> tuple[Path, Path]:
    """`old` has the name, `new` wants it; with the system's exchange of names and without."""
    if not request.param:
        monkeypatch.setattr(partial, "_exchange", lambda *_: False)
    for name in ("old", "new"):
        (tmp_path / name).mkdir()
        (tmp_path / name / "which").write_text(name)
    return tmp_path / "new", tmp_path / "old"


def test_names_change_places(folders: tuple[Path, Path]) -> None:
    new, old = folders
    partial.swap(new, old)
    assert (old / "which").read_text() == "new"
    assert not new.exists() or (new / "which").read_text() == "old"
    assert {path.name for path in old.parent.iterdir()} <= {"new", "old"}


def test_the_system_exchanges_names(tmp_path: Path) -> None:
    (tmp_path / "a").mkdir()
    (tmp_path / "b").mkdir()
    if not partial._exchange(tmp_path / "a", tmp_path / "b"):
        pytest.skip("this file system does not exchange names in one step")
    assert not partial._exchange(tmp_path / "a", tmp_path / "nowhere")


def test_a_swap_in_two_steps_that_a_crash_cut_is_undone(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    target = tmp_path / "bundle"
    with files.replacing_folder(target) as temporary:
        (temporary / "which").write_text("old")
    monkeypatch.setattr(partial, "_exchange", lambda *_: False)
    done: list[Path] = []
    rename = Path.replace

    class Crash(BaseException):
        """Stands for SIGKILL: no handler of ours catches it."""

    def counted(self: Path, name: Path) -> Path:
        if len(done) == 1:
            raise Crash
        done.append(self)
        return rename(self, name)

    monkeypatch.setattr(Path, "replace", counted)
    with pytest.raises(Crash), files.replacing_folder(target) as temporary:
        (temporary / "which").write_text("new")
    monkeypatch.setattr(Path, "replace", rename)
    partial.recover(target)
    assert (target / "which").read_text() == "old"
    assert [path.name for path in tmp_path.iterdir()] == ["bundle"]
