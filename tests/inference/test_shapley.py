"""Shapley values of additive logits: checked against the definition over all orders."""

import itertools

import numpy as np
import pytest

from covid_xray.inference.shapley import exact


def softmax(logits: np.ndarray) -> np.ndarray:
    return np.exp(logits) / np.exp(logits).sum()


def by_orders(image: np.ndarray, terms: dict[str, np.ndarray]) -> dict[str, np.ndarray]:
    found = {name: np.zeros(len(image)) for name in terms}
    orders = list(itertools.permutations(terms))
    for order in orders:
        logits = image.copy()
        for name in order:
            found[name] += (softmax(logits + terms[name]) - softmax(logits)) / len(orders)
            logits = logits + terms[name]
    return found


def test_equal_to_the_mean_over_every_order() -> None:
    random = np.random.default_rng(0)
    image = random.normal(size=3)
    terms = {name: random.normal(size=3) for name in ("age", "sex", "spo2", "fever")}
    expected = by_orders(image, terms)
    found = exact(image, terms, ("a", "b", "c"))
    for name in terms:
        assert list(found[name].values()) == pytest.approx(expected[name].tolist(), abs=1e-12)


def test_shares_sum_to_the_whole_difference_and_silent_fields_have_none() -> None:
    image = np.array([1.0, 0.0])
    terms = {"age": np.array([2.0, -1.0]), "sex": np.array([0.0, 0.0])}
    found = exact(image, terms, ("a", "b"))
    whole = softmax(image + terms["age"]) - softmax(image)
    assert sum(found[name]["a"] for name in terms) == pytest.approx(whole[0])
    assert found["sex"] == {"a": 0.0, "b": 0.0}
    assert exact(image, {}, ("a", "b")) == {}


def test_fifteen_fields_take_a_moment() -> None:
    terms = {f"f{k}": np.random.default_rng(k).normal(size=3) for k in range(15)}
    found = exact(np.zeros(3), terms, ("a", "b", "c"))
    total = sum(by["a"] for by in found.values())
    assert total == pytest.approx(softmax(sum(terms.values()))[0] - 1 / 3)
