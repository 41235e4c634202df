"""What may be asked for, and peers that answer nonsense. Real archives: test_pacs.py."""

from datetime import date
from pathlib import Path
from typing import Any

import pytest

from covid_xray.inference.predictor import Predictor
from covid_xray.pacs.fetch import dicomweb
from covid_xray.pacs.fetch.selection import PullReport, StudySelection
from covid_xray.pacs.store_scu import PeerFailed
from support import services
from support.bundles import make_bundle


class Nonsense:
    """An archive whose answers are not what they should be."""

    def __init__(self, **answers: Any) -> None:
        self.answers, self.asked = answers, []

    def __getattr__(self, name: str) -> Any:
        def answer(*of: Any, **more: Any) -> Any:
            self.asked.append((name, of))
            value = self.answers[name]
            if isinstance(value, Exception):
                raise value
            return value

        return answer


DX = {"00080016": {"Value": ["1.2.840.10008.5.1.4.1.1.1.1"]}}


@pytest.mark.parametrize("uid", ["../../admin", "1.2?x=1", "", "http://10.0.0.1/"])
def test_a_uid_that_is_none_is_never_used_in_an_address(uid: str, tmp_path: Path) -> None:
    item = {**DX, "0020000E": {"Value": [uid]}, "00080018": {"Value": ["1.2.3"]}}
    client = Nonsense(search_for_instances=[item])
    with (
        services.opened(tmp_path, Predictor(make_bundle(tmp_path / "bundle"))) as parts,
        pytest.raises(PeerFailed),
    ):
        dicomweb.fetch(client, parts.receiver, "web", StudySelection(("1.2",)), PullReport())  # type: ignore[arg-type]
    assert [name for name, _ in client.asked] == ["search_for_instances"]


def test_an_error_of_the_peer_tells_nothing(tmp_path: Path) -> None:
    client = Nonsense(search_for_instances=OSError("CANARY at http://x/studies/1.2"))
    with (
        services.opened(tmp_path, Predictor(make_bundle(tmp_path / "bundle"))) as parts,
        pytest.raises(PeerFailed) as failure,
    ):
        dicomweb.fetch(client, parts.receiver, "web", StudySelection(("1.2",)), PullReport())  # type: ignore[arg-type]
    assert "CANARY" not in f"{failure.value} {failure.value.__cause__}"
    assert failure.value.__suppress_context__


def test_an_object_that_does_not_come_is_named_by_number_and_the_others_come(tmp_path: Path) -> None:
    item = {**DX, "0020000E": {"Value": ["1.2.1"]}, "00080018": {"Value": ["1.2.1.1"]}}
    client, pulled = Nonsense(search_for_instances=[item, item], retrieve_instance=OSError("no")), PullReport()
    with services.opened(tmp_path, Predictor(make_bundle(tmp_path / "bundle"))) as parts:
        dicomweb.fetch(client, parts.receiver, "web", StudySelection(("1.2",)), pulled)  # type: ignore[arg-type]
    assert [failure.image for failure in pulled.failures] == ["object 1", "object 2"]


def test_an_archive_that_does_not_page_ends(tmp_path: Path) -> None:
    study = {"0020000D": {"Value": ["1.2"]}}
    client = Nonsense(search_for_studies=[study])
    assert list(dicomweb._list_studies(client, StudySelection(since=date(2026, 1, 1)))) == ["1.2"]  # type: ignore[arg-type]
