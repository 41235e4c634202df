"""The command serve: settings from file, environment and options; answers that name the site."""

from pathlib import Path

import pytest

from covid_xray.cli.services import serve
from support.bundles import make_bundle
from support.commands import run
from support.servers import COVID, Process, file
from support.sites import make_site_file


def test_options_win_over_environment_and_file(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    settings = tmp_path / "serve.yaml"
    settings.write_text("host: 192.0.2.1\nport: 1\nquota_bytes: 2000000\n")
    monkeypatch.setenv("COVID_XRAY_TOKEN", "secret: {x}")
    monkeypatch.setenv("COVID_XRAY_DATABASE", "postgresql://a:b@c/d")
    found = serve.load_settings(tmp_path / "store", settings, ['host="::1"', "port=2"])
    assert (found.host, found.port, found.quota_bytes, found.store) == ("::1", 2, 2000000, tmp_path / "store")
    assert found.token.get_secret_value() == "secret: {x}"
    assert found.database == "postgresql://a:b@c/d"
    assert "secret" not in repr(found)


@pytest.mark.parametrize(
    ("options", "words"),
    [
        (["--set", "colour=red"], "No such setting: colour=red"),
        (["--set", "port=99999"], "65535"),
        (["--log-level", "loud"], "'loud' is not one of"),
        (["--config", "nowhere.yaml"], "nowhere.yaml"),
    ],
)
def test_wrong_settings_are_refused(
    capsysbinary: pytest.CaptureFixture[bytes], tmp_path: Path, options: list[str], words: str
) -> None:
    ran = run(capsysbinary, "serve", "--store", tmp_path / "store", *options)
    assert ran.code == 2
    assert words in ran.err.decode()


def test_a_bundle_that_is_none_is_told(capsysbinary: pytest.CaptureFixture[bytes], tmp_path: Path) -> None:
    ran = run(capsysbinary, "serve", "--bundle", tmp_path / "nowhere", "--store", tmp_path / "store")
    assert ran.code == 3
    assert b"No bundle in" in ran.err


def test_serve_answers_with_its_options(tmp_path: Path) -> None:
    make_bundle(tmp_path / "bundle")
    with (
        Process(tmp_path, "--set", "requests_per_minute=1", "--host", "localhost") as server,
        server.client() as client,
    ):
        assert server.address.startswith("http://localhost:")
        assert client.post("/api/v1/predict", files=file(COVID)).status_code == 200
        assert client.post("/api/v1/predict", files=file(COVID)).status_code == 429
        assert server.stop() == 0
    assert "research use, not for diagnosis" in server.text()


def test_a_server_of_a_hospital_names_it_in_every_answer_and_says_nothing_where_it_is_not_fit(tmp_path: Path) -> None:
    bundle = make_bundle(tmp_path / "bundle")
    site = make_site_file(tmp_path / "site", bundle, verdict="not-fit")
    with Process(tmp_path, "--site", str(site)) as server, server.client() as client:
        answer = client.post("/api/v1/predict", files=file(COVID)).json()
        page = client.get(f"/studies/{answer['id']}").text
        assert server.stop() == 0
    assert answer["label"] == "cannot say"
    assert answer["reasons"][0] == "not fit at St. Elsewhere"
    assert answer["site"]["name"] == "St. Elsewhere"
    assert "checked at St. Elsewhere: not fit" in page
    assert "checked at St. Elsewhere: not fit" in server.text()


def test_a_server_that_requires_a_check_answers_nothing_without_one(tmp_path: Path) -> None:
    make_bundle(tmp_path / "bundle")
    with Process(tmp_path, "--set", "require_site=true") as server, server.client() as client:
        answer = client.post("/api/v1/predict", files=file(COVID)).json()
        page = client.get(f"/studies/{answer['id']}").text
        assert server.stop() == 0
    assert (answer["label"], answer["site"]) == ("cannot say", None)
    assert answer["reasons"][0] == "not checked at this hospital"
    assert "Not checked at this hospital" in page
