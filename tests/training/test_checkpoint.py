"""There is always one complete, verified generation on disk."""

from pathlib import Path

import numpy as np
import pytest

from covid_xray.errors import InputRefused
from covid_xray.training import checkpoint
from covid_xray.training.checkpoint import Generation
from covid_xray.training.schedule import Schedule


def generation(epoch: int, *, best: int) -> Generation:
    variables = [np.full((3, 4), epoch, np.float32), np.array(epoch), np.arange(2, dtype=np.uint32)]
    weights = [np.full((3, 4), best, np.float32)]
    return Generation(variables, weights, Schedule(1e-3, epoch=epoch, best_loss=0.5, best_epoch=best), run="abc")


def test_what_is_saved_is_loaded(tmp_path: Path) -> None:
    checkpoint.save(tmp_path / "c", generation(1, best=1))
    loaded = checkpoint.load(tmp_path / "c")
    assert loaded.schedule == Schedule(1e-3, epoch=1, best_loss=0.5, best_epoch=1)
    assert loaded.run == "abc"
    for received, expected in zip(loaded.variables, generation(1, best=1).variables, strict=True):
        np.testing.assert_array_equal(received, expected)
        assert received.dtype == expected.dtype


def test_the_best_weights_stay_while_the_best_epoch_does(tmp_path: Path) -> None:
    for epoch in (1, 2, 3):
        checkpoint.save(tmp_path / "c", generation(epoch, best=1))
    loaded = checkpoint.load(tmp_path / "c")
    assert loaded.schedule.epoch == 3
    assert loaded.best[0].max() == 1
    checkpoint.save(tmp_path / "c", generation(4, best=4))
    assert checkpoint.load(tmp_path / "c").best[0].max() == 4
    assert sorted(p.name for p in (tmp_path / "c").iterdir()) == ["epoch-00003", "epoch-00004"]


def flip(path: Path, position: float) -> None:
    data = bytearray(path.read_bytes())
    data[int(position * len(data))] ^= 4
    path.write_bytes(bytes(data))


@pytest.mark.parametrize("name", ["state.npz", "best.npz", "state.json"])
@pytest.mark.parametrize("position", [0, 0.3, 0.9])
def test_a_flipped_bit_is_noticed(tmp_path: Path, name: str, position: float) -> None:
    checkpoint.save(tmp_path / "c", generation(1, best=1))
    flip(tmp_path / "c" / "epoch-00001" / name, position)
    with pytest.raises(InputRefused) as error:
        checkpoint.load(tmp_path / "c")
    assert error.value.code == "altered"


@pytest.mark.parametrize("name", ["state.npz", "best.npz", "state.json"])
def test_a_damaged_generation_is_skipped_for_the_one_before(tmp_path: Path, name: str) -> None:
    for epoch in (1, 2, 3):
        checkpoint.save(tmp_path / "c", generation(epoch, best=1))
    flip(tmp_path / "c" / "epoch-00003" / name, 0.5)
    loaded = checkpoint.load(tmp_path / "c")
    assert loaded.schedule.epoch == 2
    assert loaded.variables[0].max() == 2
    (reason,) = loaded.skipped
    assert "epoch-00003" in reason
    checkpoint.save(tmp_path / "c", generation(3, best=1))
    assert checkpoint.load(tmp_path / "c").schedule.epoch == 3
    assert sorted(p.name for p in (tmp_path / "c").iterdir()) == ["epoch-00002", "epoch-00003"]


def test_generations_share_no_bytes(tmp_path: Path) -> None:
    for epoch in (1, 2):
        checkpoint.save(tmp_path / "c", generation(epoch, best=1))
    one, two = (tmp_path / "c" / name / "best.npz" for name in ("epoch-00001", "epoch-00002"))
    assert one.stat().st_ino != two.stat().st_ino


def test_a_failed_save_leaves_the_generation_before(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    checkpoint.save(tmp_path / "c", generation(1, best=1))

    def full(*_: object) -> None:
        raise OSError("no space left")

    monkeypatch.setattr(checkpoint, "write_json", full)
    with pytest.raises(OSError, match="no space"):
        checkpoint.save(tmp_path / "c", generation(2, best=2))
    assert checkpoint.load(tmp_path / "c").schedule.epoch == 1
    assert [p.name for p in (tmp_path / "c").iterdir()] == ["epoch-00001"]


def test_no_checkpoint_is_said(tmp_path: Path) -> None:
    assert not checkpoint.exists(tmp_path)
    with pytest.raises(InputRefused, match="No checkpoint in"):
        checkpoint.load(tmp_path)
