"""The command fuse refuses tables from which nothing can be learned, before it makes a bundle."""

from pathlib import Path

import pandas as pd
import pytest

from covid_xray.errors import BadSplit
from support.commands import refused
from support.patients import draw_study


@pytest.fixture(scope="module")
def drawn(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Path]:
    return draw_study(tmp_path_factory.mktemp("study"), each=8)


def test_a_table_of_images_that_were_trained_on_is_refused(drawn: tuple[Path, Path], tmp_path: Path) -> None:
    pytest.importorskip("tensorflow")
    bundle, table = drawn
    rows = pd.read_csv(table, dtype=str).assign(split="train")
    rows.to_csv(table.with_name("train.csv"), index=False)
    options = ("--data", table.with_name("train.csv"), "-o", tmp_path / "o", "--bundle", tmp_path / "b")
    assert "split" in refused(BadSplit, "fuse", bundle, *options)
    assert not (tmp_path / "b").exists()
