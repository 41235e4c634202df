"""Peers are those of the settings, and one that is not there is said. Real archives: cli/services/test_pacs.py."""

from pathlib import Path

import pytest

from covid_xray.errors import UsageError
from covid_xray.inference.predictor import Predictor
from covid_xray.pacs.fetch.pull import pull
from covid_xray.pacs.fetch.selection import StudySelection
from covid_xray.pacs.settings import Pacs
from covid_xray.pacs.store_scu import PeerFailed
from support.bundles import make_bundle
from support.orthanc import free_port


def nobody() -> Predictor:
    raise AssertionError("the peer is asked first")


def test_only_peers_of_the_settings(tmp_path: Path) -> None:
    settings = Pacs.model_validate({"store": tmp_path, "peers": {"a": {"host": "h", "ae_title": "A"}}})
    for name in ("b", "../a"):
        with pytest.raises(UsageError):
            pull(settings, nobody, name, StudySelection(("1.2",)))


def test_a_peer_that_is_not_there_is_said(tmp_path: Path) -> None:
    web = {"dicomweb": f"http://127.0.0.1:{free_port()}/x"}
    settings = Pacs.model_validate({"store": tmp_path / "store", "peers": {"web": web}})
    with pytest.raises(PeerFailed):
        pull(settings, lambda: Predictor(make_bundle(tmp_path / "bundle")), "web", StudySelection(("1.2",)))
