"""Progress and sentences reach people, and nothing is drawn where it is not wanted."""

import pytest

from covid_xray.api.progress import bar, say, stages


def test_a_stage_shows_its_name_and_note(capsys: pytest.CaptureFixture[str]) -> None:
    with stages() as update:
        update("epoch 1/2", 1, 4, "")
        update("epoch 1/2", 4, 4, "loss 0.5")
        update("export", 0, 1, "")
    said = capsys.readouterr().err
    assert "epoch 1/2" in said
    assert "loss 0.5" in said
    assert "export" in said


def test_no_bar_where_none_is_wanted(capsys: pytest.CaptureFixture[str]) -> None:
    with bar("index", show=False) as update:
        update(1, 2)
    assert capsys.readouterr() == ("", "")


def test_a_warning_is_a_warning(capsys: pytest.CaptureFixture[str]) -> None:
    say("a remark", False)
    assert capsys.readouterr().err == "a remark\n"
    with pytest.warns(UserWarning, match="they say how well"):
        say("they say how well it remembers", True)
