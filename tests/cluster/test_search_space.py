from pathlib import Path

import pytest

from covid_xray.cluster.search_space import DEFAULT, Dimension, read_space, sample_trials
from covid_xray.config import Training
from covid_xray.errors import UsageError


def test_the_first_trial_is_what_was_given_and_the_others_lie_inside_the_space() -> None:
    drawn = sample_trials(DEFAULT, Training(learning_rate=5e-5), trials=200, seed=3)
    assert drawn[0] == Training(learning_rate=5e-5)
    assert len(drawn) == 200
    for one in drawn[1:]:
        assert 1e-4 <= one.learning_rate <= 1e-2
        assert 0 <= one.dropout <= 0.5
        assert one.batch_size in (16, 32, 64)
    below = sum(one.learning_rate < 1e-3 for one in drawn[1:])
    assert 70 < below < 130  # half of a logarithmic range, not a tenth
    assert {one.batch_size for one in drawn[1:]} == {16, 32, 64}


def test_the_same_seed_draws_the_same_trials() -> None:
    one, two, other = (sample_trials(DEFAULT, Training(), trials=5, seed=seed) for seed in (1, 1, 2))
    assert one == two
    assert one != other


def test_a_space_of_ones_own(tmp_path: Path) -> None:
    (tmp_path / "space.yaml").write_text("dense: {choice: [[64], [256, 256]]}\nlabel_smoothing: {uniform: [0, 0.2]}\n")
    space = read_space(tmp_path / "space.yaml")
    assert space == (
        Dimension("dense", "choice", ([64], [256, 256])),
        Dimension("label_smoothing", "uniform", (0, 0.2)),
    )
    assert {one.dense for one in sample_trials(space, Training(), trials=30, seed=0)[1:]} == {(64,), (256, 256)}
    assert read_space(None) == DEFAULT


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("nonsense: {choice: [1]}", "Not a setting of training"),
        ("dropout: [0, 1]", "Invalid range of dropout"),
        ("dropout: {uniform: [1]}", "needs two numbers"),
        ("dropout: {uniform: [1, 0]}", "needs two numbers"),
        ("learning_rate: {loguniform: [0, 1]}", "needs two numbers"),
        ("dropout: {normal: [0, 1]}", "loguniform, uniform, choice"),
        ("- 1", "holds no search space"),
        ("a: [", "Cannot read"),
    ],
)
def test_what_is_no_space_is_refused(tmp_path: Path, text: str, words: str) -> None:
    (tmp_path / "space.yaml").write_text(text)
    with pytest.raises(UsageError, match=words):
        read_space(tmp_path / "space.yaml")


def test_values_that_the_settings_do_not_allow_are_refused(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="dropout=2"):
        sample_trials((Dimension("dropout", "choice", (2,)),), Training(), trials=2, seed=0)
    with pytest.raises(UsageError, match="Cannot read"):
        read_space(tmp_path / "gone.yaml")
