"""The content of `bundle.json` in; `BadBundle` out where it does not say everything that an answer depends on."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from covid_xray import clinical
from covid_xray.bundle.fusion_network import FUSION_VERSION
from covid_xray.bundle.lung_network import LUNGS_FILE, LUNGS_VERSION
from covid_xray.errors import BadBundle
from covid_xray.images.pixels import PIXELS_VERSION

REQUIRED = ("name", "version", "classes", "input", "outputs", "model", "temperature")


def check_facts(path: Path, facts: Mapping[str, Any]) -> None:
    """Everything that every bundle must say of itself; `path` is for the message."""
    missing = [key for key in REQUIRED if key not in facts]
    if missing:
        raise BadBundle(f"expected {path} to hold {', '.join(REQUIRED)}. Received: no {missing[0]}", code="format")
    classes = facts["classes"]
    _expect(
        isinstance(classes, list)
        and len(classes) >= 2
        and all(isinstance(name, str) and name for name in classes)
        and len(set(classes)) == len(classes),
        f"expected {path} to name two or more different classes. Received: {classes}",
    )
    temperature = facts["temperature"]
    _expect(
        isinstance(temperature, int | float) and temperature > 0,
        f"expected {path} with a temperature above 0. Received: temperature={temperature!r}",
    )
    _check_input(path, facts["input"])
    check_lungs(path, facts)
    _check_fusion(path, facts)
    for key in ("model", "int8", "lungs", "fusion"):
        identity = facts.get(key, {"sha256": ""})
        _expect(
            isinstance(identity, dict) and isinstance(identity.get("sha256"), str),
            f"expected {path} to hold the sha256 of each network. Received: {key}={identity!r}",
        )


def _check_input(path: Path, about: Any) -> None:
    _expect(isinstance(about, dict), f"expected {path} to describe the input. Received: input={about!r}")
    for side in ("height", "width"):
        value = about.get(side)
        _expect(
            isinstance(value, int) and value > 0, f"expected {path} with an input {side}. Received: {side}={value!r}"
        )
    version = about.get("pixels_version")
    _expect(
        version == PIXELS_VERSION,
        f"expected {path} made for pixels version {PIXELS_VERSION}. Received: version {version}",
    )


def check_lungs(path: Path, facts: Mapping[str, Any]) -> None:
    """A crop needs a lung network, and a lung network its size, margin and version."""
    crop, known = facts["input"].get("crop", "none"), facts.get("lungs")
    _expect(
        crop in ("none", "lungs", "lungs-only"),
        f"{path} names an unknown crop: {crop!r}. It must be none, lungs or lungs-only.",
    )
    _expect(crop == "none" or known is not None, f"expected {path} to name {LUNGS_FILE} to crop by. Received: none")
    if known is None:
        return
    told = [known.get(name) for name in ("image_size", "margin")] if isinstance(known, dict) else []
    numbers = [number for number in told if isinstance(number, int | float) and number >= 0]
    _expect(
        len(numbers) == 2 and numbers[0] >= 1,
        f"expected {path} with image_size and margin of {LUNGS_FILE}. Received: lungs={known!r}",
    )
    version = known.get("version")
    _expect(
        version == LUNGS_VERSION,
        f"expected {path} made for lung crops of version {LUNGS_VERSION}. Received: version {version}",
    )


def _check_fusion(path: Path, facts: Mapping[str, Any]) -> None:
    known = facts.get("fusion")
    if known is None:
        return
    fields = known.get("fields") if isinstance(known, dict) else None
    _expect(
        isinstance(fields, list) and bool(fields) and all(_is_field(field) for field in fields),
        f"expected {path} with name, unit, low, high and use of each clinical field. Received: fusion={known!r:.200}",
    )
    _expect(
        known.get("version") == FUSION_VERSION,
        f"expected {path} made for clinical fields of version {FUSION_VERSION}. Received: {known.get('version')}",
    )
    identity = facts["model"]
    _expect(
        isinstance(identity, dict) and known.get("model_sha256") == identity.get("sha256"),
        f"expected {path} with a fusion network that was trained on its own network. Received: one of another; "
        "`covid-xray fuse` trains it anew",
    )


def _is_field(field: Any) -> bool:
    """Whether the field is one of ours with our unit and range: another meaning would be a silent mistake."""
    ours = clinical.BY_NAME.get(str(field.get("name"))) if isinstance(field, dict) else None
    if ours is None or not isinstance(field.get("used"), bool) or not isinstance(field.get("reason"), str):
        return False
    return [field.get(key) for key in ("unit", "low", "high")] == [ours.unit, ours.low, ours.high]


def _expect(holds: bool, message: str) -> None:
    if not holds:
        raise BadBundle(message, code="format")
