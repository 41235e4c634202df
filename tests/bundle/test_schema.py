"""Facts of another kind than a bundle has are refused, and the fact is named."""

from pathlib import Path
from typing import Any

import pytest

from covid_xray.bundle.bundle import MODEL_FILE
from support.bundles import CLASSES, make_bundle
from support.foreign import refused, rewrite


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    return make_bundle(tmp_path / "bundle")


@pytest.mark.parametrize(
    ("change", "word"),
    [
        ({"format": 0}, "format 0"),
        ({"format": 2}, "format 2"),
        ({"classes": ["covid"]}, "covid"),
        ({"classes": ["covid", "covid", "virus"]}, "covid"),
        ({"classes": "covid"}, "covid"),
        ({"classes": [1, 2, 3]}, "1"),
        ({"classes": ...}, "classes"),
        ({"temperature": 0}, "temperature"),
        ({"temperature": "1"}, "temperature"),
        ({"input": []}, "input"),
        ({"input": {"height": 24, "pixels_version": 1}}, "width"),
        ({"input": {"height": 24, "width": 0, "pixels_version": 1}}, "width"),
        ({"input": {"height": 24, "width": 24, "pixels_version": 99}}, "99"),
        ({"model": {"file": MODEL_FILE}}, "sha256"),
        ({"model": "model.onnx"}, "model"),
    ],
    ids=str,
)
def test_facts_of_another_kind(folder: Path, change: dict[str, Any], word: str) -> None:
    rewrite(folder, **change)
    error = refused(folder)
    assert error.code == "format"
    assert word in error.message


def test_a_class_that_the_network_does_not_have(folder: Path) -> None:
    rewrite(folder, classes=[*CLASSES, "bacterial"])
    assert "4 classes" in refused(folder).message


def test_another_input_size(folder: Path) -> None:
    rewrite(folder, input={"height": 32, "width": 32, "pixels_version": 1})
    assert refused(folder).code == "format"
