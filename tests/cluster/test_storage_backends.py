import os
from pathlib import Path

import pytest

from covid_xray.cluster.storage_backends import (
    ArrowStorage,
    LocalStorage,
    is_address,
    open_storage,
    readable_name,
    redact_address,
    split_file,
)
from covid_xray.errors import BadImage, InputRefused
from covid_xray.limits import Limits

LIMITS = Limits(upload_bytes=100)


@pytest.fixture
def tree(tmp_path: Path) -> Path:
    for name in ("b/2.png", "b/1.png", "a.png", "b.c/3.png", ".hidden/4.png", "b/._1.png", "empty/.keep"):
        path = tmp_path / "tree" / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(name.encode())
    return tmp_path / "tree"


def both(tree: Path) -> list:
    return [LocalStorage(tree), ArrowStorage(f"file://{tree}")]


def test_a_folder_and_its_address_list_the_same_files_in_the_same_order(tree: Path) -> None:
    listings = [list(place.walk()) for place in both(tree)]
    assert listings[0] == listings[1]
    assert [found.path for found in listings[0]] == ["a.png", "b/1.png", "b/2.png", "b.c/3.png"]
    assert listings[0][0].size == len(b"a.png")


def test_a_file_is_read_whole_and_only_within_the_limit(tree: Path) -> None:
    (tree / "large.png").write_bytes(bytes(101))
    for place in both(tree):
        assert place.read("b/1.png", limits=LIMITS) == b"b/1.png"
        with place.stream("b/1.png") as stream:
            assert stream.read() == b"b/1.png"
        with pytest.raises(BadImage) as caught:
            place.read("large.png", limits=LIMITS)
        assert caught.value.code == "too-large"


def test_a_file_that_is_not_there_and_one_that_is_none(tree: Path) -> None:
    for place in both(tree):
        with pytest.raises(BadImage) as caught:
            place.read("nothing.png", limits=LIMITS)
        assert caught.value.code == "missing-file"
        with pytest.raises(BadImage) as caught:
            place.read("b", limits=LIMITS)
        assert caught.value.code == "unreadable-file"


def test_a_pipe_does_not_block(tree: Path) -> None:
    os.mkfifo(tree / "pipe.png")
    with pytest.raises(BadImage, match="regular file"):
        LocalStorage(tree).read("pipe.png", limits=LIMITS)


def test_a_place_that_is_gone_or_emptied_is_not_alive(tree: Path, tmp_path: Path) -> None:
    (tmp_path / "bare").mkdir()
    assert all(place.is_alive() for place in both(tree))
    assert not any(place.is_alive() for place in [*both(tmp_path / "bare"), *both(tmp_path / "gone")])
    for place in both(tmp_path / "gone"):
        with pytest.raises(InputRefused, match="No such|does not exist"):
            list(place.walk())


def test_a_link_to_its_own_parent_ends(tree: Path) -> None:
    (tree / "b" / "up").symlink_to(tree)
    assert [found.path for found in LocalStorage(tree).walk()] == ["a.png", "b/1.png", "b/2.png", "b.c/3.png"]


def test_a_name_that_is_no_utf8_is_read_and_shown(tree: Path) -> None:
    raw = os.fsdecode(b"\xff.png")
    (tree / raw).write_bytes(b"x")
    found = [found.path for found in LocalStorage(tree).walk()]
    assert raw in found
    assert LocalStorage(tree).read(raw, limits=LIMITS) == b"x"
    assert readable_name(raw) == "\\udcff.png"


def test_an_address_of_no_known_form_is_refused_without_its_secrets() -> None:
    with pytest.raises(InputRefused) as caught:
        open_storage("s3://key:secret@bucket/x?token=secret")
    assert "secret" not in caught.value.message
    assert redact_address("s3://key:secret@bucket/x?token=secret") == "s3://bucket/x"


def test_folder_and_name_of_a_file() -> None:
    assert split_file("s3://b/x/list.csv?region=r") == ("s3://b/x?region=r", "list.csv")
    assert split_file("list.csv") == (".", "list.csv")
    assert split_file("/list.csv") == ("/", "list.csv")
    assert split_file("a/b/list.csv") == ("a/b", "list.csv")
    assert is_address("gs://b")
    assert not is_address("C:/x")
