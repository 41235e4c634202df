"""What a run needs is estimated, and a machine that is too small is named before the first epoch."""

from pathlib import Path

import pytest

pytest.importorskip("tensorflow")

from covid_xray.config import Training
from covid_xray.models import zoo
from covid_xray.training.memory import BASE, available, describe_shortage, needed


def test_more_images_in_a_batch_and_larger_networks_need_more() -> None:
    small = zoo.build(Training(image_size=32, blocks=(8,), dense=(16,)), 3)
    large = zoo.build(Training(image_size=64, blocks=(8,), dense=(16,)), 3)
    assert BASE < needed(small, batch_size=8) < needed(small, batch_size=64) < needed(large, batch_size=256)
    per_image = needed(small, batch_size=9) - needed(small, batch_size=8)
    layers = 32 * 32 * (1 + 3 + 3 + 8 + 8) + 16 * 16 * 8 * 3 + 16 * 2 + 3  # of each layer, in the order of the network
    assert per_image == pytest.approx(4 * layers, rel=0.01)


def test_the_default_network_is_estimated_as_it_was_measured() -> None:
    assert 2.4e9 < needed(zoo.build(Training(), 3), batch_size=32) < 3.3e9


def test_what_is_free_is_read_from_machine_and_container(tmp_path: Path) -> None:
    assert available(tmp_path) is None
    (tmp_path / "proc").mkdir()
    (tmp_path / "proc" / "meminfo").write_text("MemTotal: 9 kB\nMemAvailable:    2000000 kB\n")
    assert available(tmp_path) == 2_048_000_000
    group = tmp_path / "sys" / "fs" / "cgroup"
    group.mkdir(parents=True)
    (group / "memory.max").write_text("max\n")
    (group / "memory.current").write_text("1000\n")
    assert available(tmp_path) == 2_048_000_000
    (group / "memory.max").write_text("501000\n")
    assert available(tmp_path) == 500_000


def test_only_a_shortage_is_worth_a_word() -> None:
    assert describe_shortage(3_000_000_000, None) == describe_shortage(3_000_000_000, 4_000_000_000) == ""
    assert "needs about 3.0 GB of memory and 1.5 GB are free" in describe_shortage(3_000_000_000, 1_500_000_000)
