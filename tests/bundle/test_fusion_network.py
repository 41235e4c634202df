"""A bundle holds a fusion network only with fields that the package knows, and loads without one."""

from pathlib import Path

import pytest

from covid_xray.bundle.bundle import load_bundle, write_bundle
from covid_xray.errors import BadBundle
from support.bundles import make_bundle
from support.patients import draw_study


def test_a_bundle_without_a_clinical_input_loads_as_before(tmp_path) -> None:
    assert load_bundle(make_bundle(tmp_path / "b")).fusion is None


@pytest.fixture(scope="module")
def drawn(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Path]:
    return draw_study(tmp_path_factory.mktemp("study"), each=60)


def test_a_field_with_another_unit_is_refused(drawn, tmp_path) -> None:
    bundle = load_bundle(drawn[0])
    field = {"name": "age", "unit": "months", "low": 0, "high": 120, "used": True, "reason": ""}
    facts = {**bundle.facts, "fusion": {"version": 1, "model_sha256": bundle.sha256, "fields": [field]}}
    write_bundle(tmp_path / "b", model=bundle.model, fusion=b"x", facts=facts)
    with pytest.raises(BadBundle, match="unit, low, high"):
        load_bundle(tmp_path / "b")
