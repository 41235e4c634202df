"""Settings of the node: peers by name only, AE titles as DICOM has them, secrets from the environment."""

from pathlib import Path

import pytest

from covid_xray.config import load, to_yaml
from covid_xray.errors import UsageError
from covid_xray.pacs.settings import Pacs, Peer

WEB = {"dicomweb": "http://127.0.0.1:8042/dicom-web"}


def test_a_file_of_the_documentation_reads(tmp_path: Path) -> None:
    (tmp_path / "node.yaml").write_text(
        "callers: [MODALITY, 'ROUTER 2']\n"
        "peers:\n  archive: {host: 10.0.0.5, port: 4242, ae_title: ORTHANC}\n  web: {dicomweb: 'https://x/dicom-web'}\n"
        "send_to: [archive, web]\n"
    )
    settings = load(Pacs, file=tmp_path / "node.yaml", overrides=["port=11113"])
    assert settings.port == 11113
    assert settings.peer("archive").ae_title == "ORTHANC"
    assert settings.folder.name == "pacs"
    with pytest.raises(UsageError, match="settings have archive, web"):
        settings.peer("elsewhere")


@pytest.mark.parametrize(
    "wrong",
    [
        ["ae_title=SEVENTEEN_LETTERS"],
        ["ae_title=' LEADING'"],
        ["callers=['A\\\\B']"],
        ["callers=['']"],
        ["send_to=[archive]"],
        ["peers={archive: {}}"],
        ["peers={archive: {host: a}}"],
        ["peers={archive: {host: a, ae_title: 'ä'}}"],
        ["peers={archive: {dicomweb: 'file:///etc'}}"],
        ["peers={'../x': {dicomweb: 'http://a'}}"],
        ["peers={archive: {dicomweb: 'http://a', token_url: 'http://b'}}"],
        ["peers={archive: {host: a, ae_title: A, tls: true}}"],
        ["tls={certificate: a.pem, authority: b.pem, callers: {A: '12'}}"],
        ["tls={certificate: a.pem}"],
        ["peers={ehr: {fhir: 'file:///etc'}}"],
        ["peers={ris: {hl7: true}}"],
        ["peers={ehr: {fhir: 'http://a'}}", "send_to=[ehr]"],
        ["share=0"],
        ["unknown=1"],
    ],
)
def test_what_is_wrong_is_refused(wrong: list[str]) -> None:
    with pytest.raises(UsageError):
        load(Pacs, overrides=wrong)


def test_secrets_come_from_the_environment_and_are_not_written(monkeypatch: pytest.MonkeyPatch) -> None:
    peer = Peer(**WEB, user="doe", password_env="PEER_PASSWORD", token_env="PEER_TOKEN")
    monkeypatch.setenv("PEER_PASSWORD", "secret-1")
    assert peer.password == "secret-1"
    with pytest.raises(UsageError, match="PEER_TOKEN is not set"):
        _ = peer.token
    assert "secret-1" not in to_yaml(Pacs(peers={"web": peer}))
    assert Peer(**WEB).password is None
