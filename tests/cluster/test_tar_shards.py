import io
from pathlib import Path

import pytest

from covid_xray.cluster.tar_shards import read_members
from covid_xray.errors import InputRefused
from covid_xray.limits import Limits
from support.archives import picture, shard

THREE = [(f"{n}.png", picture(n)) for n in range(3)]


def read(path: Path, **limits) -> list:
    with path.open("rb") as stream:
        return list(read_members(stream, path.name, limits=Limits(**limits)))


@pytest.mark.parametrize("mode", ["w", "w:gz"])
def test_the_images_of_a_tar_file_in_order(tmp_path: Path, mode: str) -> None:
    path = shard(tmp_path / "s.tar", [*THREE, ("notes.txt", b"x"), ("0.cls", b"1")], mode=mode)
    found = read(path)
    assert [(m.name, m.data) for m in found] == [(f"s.tar/{name}", data) for name, data in THREE]


def test_a_name_that_comes_again_is_another_input(tmp_path: Path) -> None:
    path = shard(tmp_path / "s.tar", [("a.png", b"1"), ("a.png", b"2"), ("a.png", b"3")])
    assert [m.name for m in read(path)] == ["s.tar/a.png", "s.tar/a.png#2", "s.tar/a.png#3"]


def test_a_member_beyond_the_limit_fails_alone(tmp_path: Path) -> None:
    path = shard(tmp_path / "s.tar", [("a.png", bytes(200)), ("b.png", b"b")])
    first, second = read(path, upload_bytes=100)
    assert first.problem.code == "too-large"
    assert (second.problem, second.data) == (None, b"b")


def test_wherever_a_shard_is_cut_off_it_is_said(tmp_path: Path) -> None:
    data = shard(tmp_path / "s.tar", THREE).read_bytes()
    end = max(position for position in range(0, len(data), 512) if any(data[position : position + 512])) + 512
    for cut in {0, 1, 511, 512, 513, *range(512, end + 1, 512), end - 1, end + 511}:
        found = list(read_members(io.BytesIO(data[:cut]), "s.tar", limits=Limits()))
        assert found[-1].problem.code == "bad-tar", cut
        assert [(m.name, m.data) for m in found[:-1]] == [(f"s.tar/{n}", d) for n, d in THREE[: len(found) - 1]]
    assert [m.problem for m in read_members(io.BytesIO(data[: end + 512]), "s.tar", limits=Limits())] == [None] * 3


def test_a_cut_gzip_and_nonsense_are_damaged(tmp_path: Path) -> None:
    data = shard(tmp_path / "s.tar", THREE, mode="w:gz").read_bytes()
    for bad in (data[:-1], data[: len(data) // 2], b"\x1f\x8b", b"nonsense" * 200):
        assert list(read_members(io.BytesIO(bad), "s.tar", limits=Limits()))[-1].problem.code == "bad-tar"


def test_a_shard_without_images_is_one_input_that_fails(tmp_path: Path) -> None:
    (only,) = read(shard(tmp_path / "s.tar", [("a.txt", b"x")]))
    assert (only.name, only.problem.code) == ("s.tar", "no-images")


def test_a_disk_that_fails_is_not_taken_for_a_damaged_shard() -> None:
    class Failing(io.BytesIO):
        def read(self, size: int = -1) -> bytes:
            raise OSError(5, "Input/output error")

    with pytest.raises(InputRefused) as caught:
        list(read_members(Failing(), "s.tar", limits=Limits()))
    assert caught.value.code == "source-lost"
