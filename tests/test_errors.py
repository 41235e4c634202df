"""Every error carries what a shell, an HTTP client and a DICOM peer need."""

import pytest

from covid_xray import errors


def subclasses(kind: type) -> list[type]:
    return [kind, *(deep for direct in kind.__subclasses__() for deep in subclasses(direct))]


@pytest.mark.parametrize("kind", [k for k in subclasses(errors.CovidXrayError) if k.__module__ == errors.__name__])
def test_tree_at_the_top_of_the_module_is_the_tree(kind: type[errors.CovidXrayError]) -> None:
    line = next(line for line in (errors.__doc__ or "").splitlines() if kind.__name__ in line)
    assert f"exit {kind.exit_code}" in line
    assert f"HTTP {kind.http_status}" in line
    assert f"0x{kind.dicom_status:04X}" in line or "DICOM" not in line


def test_code_is_stable_unless_given() -> None:
    assert errors.BadImage("m").code == "bad-image"
    assert errors.BadImage("m", code="truncated").code == "truncated"
    assert str(errors.BadImage("Not a PNG: HTML")) == "Not a PNG: HTML"


def test_close_names_are_suggested_in_any_case() -> None:
    assert errors.did_you_mean("resnet5O", ["vgg", "ResNet50"]) == " Did you mean ResNet50?"
    assert errors.did_you_mean("banana", ["vgg", "ResNet50"]) == ""
