"""The layers of the fusion network: a field moves nothing on average."""

from dataclasses import replace

import numpy as np
import pytest

from support.patients import AGE, fitted, rows


@pytest.fixture(scope="module")
def telling():
    """A network trained on patients whose age tells, and other such patients."""
    return fitted(rows(seed=1)), rows(seed=2)


def test_a_field_moves_nothing_on_average(telling) -> None:
    """Over training values with every class counted the same, the sum that a field adds is 0 for any picture."""
    from covid_xray.training.clinical.fusion_training import basis_of

    train = rows(seed=1)
    model = fitted(train)
    known = ~np.isnan(train.clinical[:, AGE]) & (train.labels < 2)
    terms = np.asarray(model(train.take(known).inputs)["terms"])[:, AGE]
    embedding = np.broadcast_to(train.embedding[:1], train.embedding.shape)
    same = np.asarray(model(replace(train, embedding=embedding).take(known).inputs)["terms"])[:, AGE]
    means = [same[train.labels[known] == code].mean(axis=0) for code in (0, 1)]
    assert np.abs(np.mean(means, axis=0)).max() < 1e-5
    assert np.abs(terms[:, 2]).max() == 0  # of virus no age is stated
    assert terms.sum(axis=1) == pytest.approx(0, abs=1e-5)
    assert basis_of(train).used[AGE].tolist() == [True, True, False]
