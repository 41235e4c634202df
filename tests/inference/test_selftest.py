"""The self-test says OK where answers are as they were, and names what differs where they are not."""

from pathlib import Path

import numpy as np
import pytest

from covid_xray.bundle.bundle import MODEL_FILE, identity_of, record, unsealed
from covid_xray.errors import BadBundle
from covid_xray.inference import selftest
from covid_xray.inference.predictor import Predictor
from support.bundles import facts, make_bundle, network
from support.commands import run


def with_references(folder: Path, *, model: bytes | None = None) -> Path:
    """A bundle with the references of the network at sharpness 0.2, whatever network it holds."""
    plain = network(sharpness=0.2)
    known = {**facts(), "model": identity_of(plain, MODEL_FILE)}
    stored = selftest.references(Predictor(unsealed(known, plain, folder=folder), threads=1))
    return make_bundle(folder, model=plain if model is None else model, reference=stored)


def test_ok(tmp_path: Path) -> None:
    result = selftest.check(Predictor(with_references(tmp_path / "bundle"), threads=1))
    assert result.problems == ()
    assert result.images == selftest.IMAGES
    assert result.largest < 1e-5


def test_a_temperature_fitted_later_is_no_difference(tmp_path: Path) -> None:
    folder = with_references(tmp_path / "bundle")
    record(folder, temperature=3.0)
    assert selftest.check(Predictor(folder, threads=1)).problems == ()


def test_another_network_is_noticed(tmp_path: Path) -> None:
    folder = with_references(tmp_path / "bundle", model=network(sharpness=0.21))
    result = selftest.check(Predictor(folder, threads=1))
    assert any("probabilities differ" in problem for problem in result.problems)
    assert result.largest > 1e-4


def test_another_decoder_is_noticed(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    predictor = Predictor(with_references(tmp_path / "bundle"), threads=1)
    read = predictor.read
    monkeypatch.setattr(predictor, "read", lambda source: np.roll(read(source), 1, axis=0))
    assert any("pixels" in problem for problem in selftest.check(predictor).problems)


def test_an_answer_that_is_not_finite_is_noticed(tmp_path: Path) -> None:
    folder = with_references(tmp_path / "bundle", model=network(sharpness=float("nan")))
    assert selftest.check(Predictor(folder, threads=1)).problems


def test_a_bundle_without_references_says_so(tmp_path: Path) -> None:
    with pytest.raises(BadBundle) as error:
        selftest.check(Predictor(make_bundle(tmp_path / "bundle"), threads=1))
    assert error.value.code == "no-reference"


def test_the_command(capsysbinary: pytest.CaptureFixture[bytes], tmp_path: Path) -> None:
    ran = run(capsysbinary, "selftest", "--bundle", with_references(tmp_path / "good"))
    assert ran.code == 0
    assert ran.out.startswith(b"OK: 6 reference images")
    ran = run(capsysbinary, "selftest", "--bundle", with_references(tmp_path / "bad", model=network(sharpness=0.3)))
    assert ran.code == 1
    assert b"probabilities differ" in ran.err
    assert b"OK" not in ran.out
    assert run(capsysbinary, "selftest", "--bundle", make_bundle(tmp_path / "without")).code == 3
    assert run(capsysbinary, "selftest", "--bundle", tmp_path / "nowhere").code == 3
