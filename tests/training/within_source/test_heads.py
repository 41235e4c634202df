"""Heads on frozen features: what tells ill from well inside a source, not what tells sources or children apart."""

import numpy as np
import pytest

from covid_xray.training.within_source import heads
from covid_xray.training.within_source.answering import CLEAR, at_thresholds
from covid_xray.training.within_source.heads import (
    Described,
    Linear,
    balanced_weights,
    fit_background,
    fit_known,
    fit_scores,
    home_of,
)

ILLNESSES = ("covid", "virus")
ILL, CHILD, HOSPITAL, OTHER = range(4)  # features that mean something; the rest is noise
HOSPITALS = {
    "children": (("normal", 60), ("virus", 40), ("other", 40)),
    "adults": (("normal", 60), ("other", 60)),
    "covid only": (("covid", 60),),
}


def draw(seed: int = 0) -> Described:
    """Features in which illness, age, hospital and kind of illness are known, D = 12."""
    random = np.random.default_rng(seed)
    rows, classes, sources = [], [], []
    for source, groups in HOSPITALS.items():
        for name, count in groups:
            x = random.normal(0, 0.2, (count, 12))
            # Illness shows less in children than in adults, and each hospital has its own constant.
            x[:, ILL] += 0 if name == "normal" else 0.7 if source == "children" else 2
            x[:, CHILD] += 2 if source == "children" else -2
            x[:, HOSPITAL] += list(HOSPITALS).index(source) * 3
            x[:, OTHER] += 1.5 if name == "other" else 0
            rows.append(x)
            classes += [name] * count
            sources += [source] * count
    return Described(np.concatenate(rows).astype(np.float32), np.array(classes, object), np.array(sources, object))


@pytest.fixture(scope="module")
def train() -> Described:
    return draw()


def test_an_illness_is_at_home_where_healthy_images_stand_beside_it(train: Described) -> None:
    assert home_of(train, "virus", "normal") == ("children",)
    assert home_of(train, "covid", "normal") == ()


def test_scores_rank_the_ill_above_the_healthy_in_every_hospital(train: Described) -> None:
    scores, new = fit_scores(train, ILLNESSES, well="normal"), draw(1)
    found = scores(new.features)
    for place, (source, ill) in enumerate((("adults", "other"), ("children", "virus"))):
        well, sick = found[new.rows(source, "normal"), place], found[new.rows(source, ill), place]
        assert (sick[:, None] > well[None]).mean() > 0.9


def test_what_is_constant_in_a_hospital_moves_the_score_of_an_illness_with_a_home_little(train: Described) -> None:
    kernel = fit_scores(train, ("virus",), well="normal").kernel[:, 0]
    assert abs(kernel[HOSPITAL]) < 0.3 * kernel[ILL]


def test_the_background_is_that_of_children_for_the_healthy_too(train: Described) -> None:
    background, new = fit_background(train, ILLNESSES, well="normal"), draw(2)
    nearest = background(new.features).argmax(axis=1)
    assert (nearest[new.rows("children", "normal", "other")] == ILLNESSES.index("virus")).mean() > 0.9
    assert (nearest[new.rows("adults", "normal", "other")] == ILLNESSES.index("covid")).mean() == 1
    unclear = draw(3).features[new.rows("children", "normal")]
    unclear[:, CHILD] -= 2  # as far from children as from adults
    unclear[:, HOSPITAL] = new.features[new.rows("adults", "normal")][:, HOSPITAL].mean() / 2
    assert (background(unclear).argmax(axis=1) == ILLNESSES.index("covid")).all()


def test_one_source_with_every_class_leaves_the_background_to_the_ill() -> None:
    random = np.random.default_rng(0)
    names = np.array(["normal"] * 40 + ["covid"] * 40 + ["virus"] * 40, object)
    x = random.normal(0, 0.3, (120, 6)).astype(np.float32)
    x[40:80, 0] += 2
    x[80:, 1] += 2
    one = Described(x, names, np.full(120, "here", object))
    nearest = fit_background(one, ILLNESSES, well="normal")(x).argmax(axis=1)
    assert (nearest[40:] == np.repeat([0, 1], 40)).mean() > 0.95


def test_known_tells_the_answered_illnesses_from_others(train: Described) -> None:
    new = draw(4)
    found = fit_known(train, ILLNESSES, well="normal")(new.features)[:, 0]
    known, other = found[np.isin(new.classes, ILLNESSES)], found[new.classes == "other"]
    assert (known[:, None] > other[None]).mean() > 0.95


def test_a_single_illness_has_the_whole_share(train: Described) -> None:
    assert not fit_background(train, ("covid",), well="normal").kernel.any()


@pytest.mark.parametrize("share", [0.05, 0.2])
def test_no_source_has_more_false_positives_than_allowed(train: Described, share: float) -> None:
    scores, background = fit_scores(train, ILLNESSES, well="normal"), fit_background(train, ILLNESSES, well="normal")
    rows = np.flatnonzero(train.classes == "normal")
    healthy = Described(train.features[rows], train.classes[rows], train.sources[rows])
    logits = at_thresholds(scores, background, healthy, false_positives=share)(healthy.features)
    nearest = background(healthy.features).argmax(axis=1)
    answered_ill = logits[np.arange(len(rows)), nearest] > 1e-6
    shares = {name: answered_ill[healthy.sources == name].mean() for name in ("children", "adults")}
    assert max(shares.values()) <= share
    assert max(shares.values()) > share / 3  # the threshold is not simply out of reach
    medians = [np.median(logits[healthy.sources == name, place]) for place, name in enumerate(("adults", "children"))]
    assert medians == pytest.approx([-CLEAR, -CLEAR], abs=0.5)


def test_a_threshold_without_healthy_pictures_of_its_kind_is_that_of_all_the_healthy() -> None:
    healthy = Described(
        np.linspace(0, 1, 41, dtype=np.float32)[:, None], np.full(41, "normal", object), np.full(41, "a", object)
    )
    scores = Linear(np.ones((1, 2)), np.zeros(2))
    always_first = Linear(np.zeros((1, 2)), np.array([1.0, 0.0]))
    found = at_thresholds(scores, always_first, healthy, false_positives=0.1)
    assert -found.bias / found.kernel[0] == pytest.approx([0.9, 0.9], abs=0.03)


def test_codes_weigh_alike_and_so_do_their_groups() -> None:
    codes = np.array([0] * 10 + [1] * 30)
    groups = np.array(["a"] * 10 + ["a"] * 5 + ["b"] * 25, dtype=object)
    weights = balanced_weights(codes, groups)
    assert weights.mean() == pytest.approx(1)
    assert weights[:10].sum() == pytest.approx(weights[10:].sum())
    assert weights[10:15].sum() == pytest.approx(weights[15:].sum())


def test_an_illness_without_images_enough_has_a_flat_score(train: Described) -> None:
    few = Described(train.features[:3], train.classes[:3], train.sources[:3])
    assert not fit_scores(few, ("virus",), well="normal").kernel.any()
    assert heads.LEAST > 3
