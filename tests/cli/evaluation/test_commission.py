"""`covid-xray commission` as a physicist runs it."""

import json
from pathlib import Path

import pytest
from typer.testing import CliRunner

from covid_xray.cli import app
from covid_xray.errors import InputRefused, PartlyDone, UsageError
from covid_xray.inference.drift.reference import Reference, reference_of
from support.bundles import grey, make_bundle
from support.drawing import png


@pytest.fixture
def hospital(tmp_path: Path) -> Path:
    make_bundle(tmp_path / "bundle")
    for label in ("normal", "covid"):
        for number in range(40):
            path = tmp_path / "data" / label / f"{number:03}.png"
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_bytes(png(grey(label, seed=number)))
    return tmp_path


def call(hospital: Path, *words: str, name: str = "St. Elsewhere"):
    fixed = ["--name", name, "-o", str(hospital / "site"), "--bundle", str(hospital / "bundle")]
    return CliRunner().invoke(app, ["commission", str(hospital / "data"), *fixed, *words])


def test_it_writes_the_site_file_and_its_pages_and_says_the_verdict(hospital):
    result = call(hospital, "--signed-by", "A. Physicist")
    assert result.exit_code == 0, result.output
    assert "St. Elsewhere: Fit" in result.output
    assert {path.name for path in (hospital / "site").iterdir()} == {
        *("site.json", "report.html", "report.pdf", "drift.json"),
    }
    assert reference_of(hospital / "site") == hospital / "site" / "drift.json"
    assert Reference.read(hospital / "site").images == 80
    facts = json.loads((hospital / "site" / "site.json").read_text())
    assert (facts["verdict"], facts["signed_by"]) == ("fit", "A. Physicist")


def test_the_rule_is_a_setting_and_not_fit_is_an_exit_code_only_on_request(hospital):
    strict = ("--set", "false_positives=0.01")
    result = call(hospital, *strict)
    assert result.exit_code == 0
    assert json.loads((hospital / "site" / "site.json").read_text())["verdict"] == "not-fit"
    assert isinstance(call(hospital, *strict, "--require-fit").exception, PartlyDone)
    assert call(hospital, "--require-fit").exit_code == 0
    assert isinstance(call(hospital, "--set", "false_positives=2").exception, UsageError)


def test_a_dry_run_lists_the_images_and_writes_nothing(hospital):
    result = call(hospital, "--dry-run")
    assert result.exit_code == 0
    assert result.stdout.count("\tnormal\n") == result.stdout.count("\tcovid\n") == 40
    assert not (hospital / "site").exists()


def test_too_few_images_and_a_bad_name_are_refused(hospital):
    for path in (hospital / "data" / "normal").iterdir():
        path.unlink()
    refused = call(hospital, "--set", "least_images=41").exception
    assert isinstance(refused, InputRefused)
    assert refused.code == "too-few"
    assert isinstance(call(hospital, name=" ").exception, UsageError)
    assert isinstance(call(hospital, name="two\nlines").exception, UsageError)
