"""Which lung network a run crops by, and how wide the margin is."""

from pathlib import Path

import pytest

from covid_xray.bundle.lung_network import LungNetwork
from covid_xray.bundle.lung_network_folder import write_network
from covid_xray.config import Training
from covid_xray.errors import UsageError
from covid_xray.training.lung_crop import network_of
from support.chests import lung_facts, lung_network


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    write_network(tmp_path / "lungs", LungNetwork(lung_network(), lung_facts(margin=0.06)))
    return tmp_path / "lungs"


def test_the_margin_is_the_networks_own_unless_another_is_wished(folder: Path) -> None:
    own = network_of(Training(lungs=folder, crop="lungs"))
    wide = network_of(Training(lungs=folder, crop="lungs", crop_margin=0.3))
    none = network_of(Training(lungs=folder, crop="lungs", crop_margin=0.0))
    assert own is not None
    assert wide is not None
    assert none is not None
    assert (own.facts["margin"], wide.facts["margin"], none.facts["margin"]) == (0.06, 0.3, 0.0)
    assert own.model == wide.model == lung_network()


def test_lungs_are_not_cropped_without_a_network() -> None:
    assert network_of(Training()) is None
    with pytest.raises(UsageError, match="--lungs RUN"):
        network_of(Training(crop="lungs"))
