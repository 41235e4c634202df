"""The table without some hospitals keeps neither their images nor copies of them."""

import pandas as pd
import pytest

from scripts.leave_out import leave_out

TABLE = pd.DataFrame(
    [
        ("a1", "a", "normal", "train", "g1"), ("a2", "a", "covid", "val", ""), ("a3", "a", "covid", "val", ""),
        ("a4", "a", "covid", "calibration", ""), ("a5", "a", "covid", "test", ""),
        ("b1", "b", "normal", "train", "g1"), ("b2", "b", "normal", "train", ""),
    ],
    columns=["image", "source", "label", "split", "group"],
)  # fmt: skip


def test_copies_of_what_is_left_out_go_too() -> None:
    assert leave_out(TABLE, ["b"], most_val=1)["image"].tolist() in (["a2"], ["a3"])
    assert {"a1", "b1", "b2"} < set(leave_out(TABLE, [], most_val=1)["image"])


def test_with_calibration_all_parts_but_the_test_are_kept() -> None:
    assert leave_out(TABLE, ["b"], most_val=None)["image"].tolist() == ["a2", "a3", "a4"]


def test_an_unknown_source_is_named() -> None:
    with pytest.raises(SystemExit, match="No such source: c. The table has a, b"):
        leave_out(TABLE, ["c"], most_val=1)
