from dataclasses import replace
from pathlib import Path

import pytest

from covid_xray.cluster.plan import LARGEST, make_plan, read_partitions, read_plan, require_same_options
from covid_xray.cluster.source_listing import Entry, Listing
from covid_xray.errors import InputRefused, UsageError

ABOUT = {"source": "s", "images": None, "model_sha256": "a" * 64, "precision": "float32", "heatmap": False}


def listing(count: int, *, shards: int = 0) -> Listing:
    files = [Entry(f"{n:06d}.png", f"{n:06d}.png", 10) for n in range(count)]
    tars = [Entry(f"s{n}.tar", f"s{n}.tar", 1000, shard=True) for n in range(shards)]
    half = count // 2
    return Listing("place", "folder", iter(files[:half] + tars + files[half:]))


@pytest.mark.parametrize(("count", "size"), [(1, 16), (16, 16), (300, 32), (5000, 320), (20_000, LARGEST)])
def test_every_input_is_in_one_partition_and_their_size_follows_the_source(
    tmp_path: Path, count: int, size: int
) -> None:
    plan = make_plan(tmp_path, listing(count), **ABOUT)
    found = list(read_partitions(tmp_path, plan))
    assert [len(part.entries) for part in found[:-1]] == [size] * (len(found) - 1)
    assert [e.name for part in found for e in part.entries] == [f"{n:06d}.png" for n in range(count)]
    assert (plan.inputs, plan.partitions, plan.size) == (count, len(found), 10 * count)
    assert read_plan(tmp_path) == plan


def test_a_shard_is_a_partition_by_itself(tmp_path: Path) -> None:
    plan = make_plan(tmp_path, listing(20, shards=3), **ABOUT)
    found = [[e.name for e in part.entries] for part in read_partitions(tmp_path, plan)]
    assert [names for names in found if names[0].endswith("tar")] == [["s0.tar"], ["s1.tar"], ["s2.tar"]]
    assert plan.shards == 3


def test_partitions_that_are_done_are_passed_over(tmp_path: Path) -> None:
    plan = make_plan(tmp_path, listing(100), **ABOUT)
    assert [part.number for part in read_partitions(tmp_path, plan, without=frozenset({0, 2}))] == [1, 3, 4, 5, 6]


def test_bytes_of_names_survive(tmp_path: Path) -> None:
    entry = Entry("\\udcff.png", "\udcff.png", 1)
    plan = make_plan(tmp_path, Listing("p", "folder", iter([entry])), **ABOUT)
    assert next(read_partitions(tmp_path, plan)).entries == (entry,)


def test_nothing_to_plan_leaves_no_plan(tmp_path: Path) -> None:
    nothing = listing(0)
    nothing.passed_over[".txt"] = 2
    with pytest.raises(InputRefused, match=r"holds \.txt"):
        make_plan(tmp_path, nothing, **ABOUT)
    assert not list(tmp_path.iterdir())


def test_other_work_is_told_from_this_one(tmp_path: Path) -> None:
    plan = make_plan(tmp_path, listing(3), **ABOUT)
    require_same_options(plan, out=tmp_path, **ABOUT)
    with pytest.raises(InputRefused) as caught:
        require_same_options(plan, out=tmp_path, **{**ABOUT, "model_sha256": "b" * 64, "source": "t"})
    assert caught.value.code == "other-model"
    with pytest.raises(UsageError, match="source=s"):
        require_same_options(plan, out=tmp_path, **{**ABOUT, "source": "t"})


def test_an_altered_plan_is_refused(tmp_path: Path) -> None:
    plan = make_plan(tmp_path, listing(3), **ABOUT)
    with pytest.raises(InputRefused, match="altered"):
        list(read_partitions(tmp_path, replace(plan, partitions=2)))
    (tmp_path / "plan.json").write_text('{"source": 1}')
    with pytest.raises(InputRefused) as caught:
        read_plan(tmp_path)
    assert caught.value.code == "not-results"
    assert read_plan(tmp_path / "gone") is None
