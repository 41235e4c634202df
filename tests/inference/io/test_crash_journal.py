"""Who was under way when a run died, how often, and what the next run does about it."""

import os
from pathlib import Path

import pytest

from covid_xray.errors import BadImage
from covid_xray.inference.io.crash_journal import ALONE, TRIES, Journal
from covid_xray.inference.io.inputs import Item
from covid_xray.limits import Limits

NAMES = ("a.png", "b\n.png", "c\udcff.png", "d.png")


@pytest.fixture
def results(tmp_path: Path) -> Path:
    return tmp_path / "predictions.csv"


def items() -> list[Item]:
    return [Item(name, Path(name)) for name in NAMES]


def run(results: Path, *, begun: int, done: int = 0, resume: bool = True, dies: bool = True) -> Journal:
    """A run that asks for `begun` items after the first `done` have their rows, and dies, or ends."""
    journal = Journal(results, done=frozenset(NAMES[:done]), resume=resume)
    noted = journal.noting(items()[done:])
    for _ in range(begun):
        next(noted)
    if dies:
        os.close(journal._handle)  # as the kernel does
    else:
        journal.__exit__()
    return journal


def test_a_run_that_ends_by_itself_leaves_no_journal(results: Path) -> None:
    journal = run(results, begun=4, dies=False)
    assert not journal.path.exists()
    assert run(results, begun=0).died == {}


def test_suspects_are_those_that_were_begun_and_have_no_row(results: Path) -> None:
    run(results, begun=3)
    assert run(results, begun=0, done=1).died == {NAMES[1]: 1, NAMES[2]: 1}


def test_care_grows_with_the_runs_that_died(results: Path) -> None:
    run(results, begun=2)
    for _ in range(1, TRIES):
        run(results, begun=1)
    journal = Journal(results, done=frozenset(), resume=True)
    assert journal.died == {NAMES[0]: TRIES, NAMES[1]: 1}
    first, *rest = list(journal.runs(items()))
    assert [item.problem for item in first] == ["gave-up"]
    assert [[(item.name, item.apart) for item in part] for part in rest] == [
        [(NAMES[1], True), (NAMES[2], False), (NAMES[3], False)]
    ]
    with pytest.raises(BadImage, match="3 runs") as refusal:
        first[0].read(Limits())
    assert refusal.value.code == "gave-up"


def test_from_the_second_death_on_an_image_is_alone(results: Path) -> None:
    for _ in range(ALONE):
        run(results, begun=2)
    parts = list(Journal(results, done=frozenset(), resume=True).runs(items()))
    assert [[item.name for item in part] for part in parts] == [[NAMES[0]], [NAMES[1]], list(NAMES[2:])]
    assert [item.apart for part in parts for item in part] == [True, True, False, False]
    assert all(item.problem is None for part in parts for item in part)


def test_an_image_that_was_not_begun_keeps_its_count(results: Path) -> None:
    run(results, begun=2)
    run(results, begun=0)
    assert run(results, begun=0).died == {NAMES[0]: 1, NAMES[1]: 1}


def test_without_resume_nothing_is_held_against_anybody(results: Path) -> None:
    run(results, begun=2)
    assert run(results, begun=0, resume=False).died == {}
    assert run(results, begun=0).died == {}


@pytest.mark.parametrize("junk", [b"", b"[", b'["a.png"]\n["b', b"\xff\xfe\n[]\n{}\n3\n[1, [2]]\n", b"[" * 9999])
def test_a_torn_or_foreign_journal_says_nothing_wrong(results: Path, junk: bytes) -> None:
    results.with_name(".predictions.csv.journal").write_bytes(junk)
    journal = run(results, begun=0)
    assert set(journal.died) <= {"a.png"}
