"""Check that `bundle.json` states everything that a prediction depends on."""

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
    """Check the facts that every bundle must have; `path` is for the message. Raises `BadBundle`."""
    missing = [key for key in REQUIRED if key not in facts]
    _expect(not missing, f"{path} has no {', '.join(missing)}. A bundle needs {', '.join(REQUIRED)}.")
    classes = facts["classes"]
    _expect(
        isinstance(classes, list)
        and len(classes) >= 2
        and all(isinstance(name, str) and name for name in classes)
        and len(set(classes)) == len(classes),
        f"{path} has the classes {classes}. They must be two or more different names.",
    )
    temperature = facts["temperature"]
    _expect(
        isinstance(temperature, int | float) and temperature > 0,
        f"{path} has the temperature {temperature!r}. It must be above 0.",
    )
    _check_input(path, facts["input"])
    check_lungs(path, facts)
    _check_fusion(path, facts)
    for key in ("model", "int8", "lungs", "fusion", "trained"):
        identity = facts.get(key, {"sha256": ""})
        _expect(
            isinstance(identity, dict) and isinstance(identity.get("sha256"), str),
            f"{path} has no sha256 under {key}.",
        )


def _check_input(path: Path, about: Any) -> None:
    _expect(isinstance(about, dict), f"{path} does not describe the input: input={about!r}.")
    for side in ("height", "width"):
        value = about.get(side)
        _expect(isinstance(value, int) and value > 0, f"{path} has the input {side} {value!r}. It must be above 0.")
    version = about.get("pixels_version")
    _expect(
        version == PIXELS_VERSION,
        f"{path} was made for preprocessing of version {version}; this program has version {PIXELS_VERSION}.",
    )


def check_lungs(path: Path, facts: Mapping[str, Any]) -> None:
    """Check that a crop has a lung network, and a lung network its size, margin and version. Raises `BadBundle`."""
    crop, known = facts["input"].get("crop", "none"), facts.get("lungs")
    _expect(
        crop in ("none", "lungs", "lungs-only"),
        f"{path} names an unknown crop: {crop!r}. It must be none, lungs or lungs-only.",
    )
    _expect(crop == "none" or known is not None, f"{path} has no {LUNGS_FILE} to crop by.")
    if known is None:
        return
    values = [known.get(name) for name in ("image_size", "margin")] if isinstance(known, dict) else []
    numbers = [number for number in values if isinstance(number, int | float) and number >= 0]
    _expect(len(numbers) == 2 and numbers[0] >= 1, f"{path} has no image_size and margin of {LUNGS_FILE}.")
    version = known.get("version")
    _expect(
        version == LUNGS_VERSION,
        f"{path} was made for lung crops of version {version}; this program has version {LUNGS_VERSION}.",
    )


def _check_fusion(path: Path, facts: Mapping[str, Any]) -> None:
    known = facts.get("fusion")
    if known is None:
        return
    fields = known.get("fields") if isinstance(known, dict) else None
    _expect(
        isinstance(fields, list) and bool(fields) and all(_is_field(field) for field in fields),
        f"{path} does not state name, unit, low, high and use of each clinical field under fusion.",
    )
    _expect(
        known.get("version") == FUSION_VERSION,
        f"{path} was made for clinical fields of version {known.get('version')}; this program has version "
        f"{FUSION_VERSION}.",
    )
    identity = facts["model"]
    _expect(
        isinstance(identity, dict) and known.get("model_sha256") == identity.get("sha256"),
        f"{path} has a fusion network that was not trained on its own network. Train it again with `covid-xray fuse`.",
    )


def _is_field(field: Any) -> bool:
    """Say whether the field is a known one with our unit and range: another meaning would be a silent error."""
    ours = clinical.BY_NAME.get(str(field.get("name"))) if isinstance(field, dict) else None
    if ours is None or not isinstance(field.get("used"), bool) or not isinstance(field.get("reason"), str):
        return False
    return [field.get(key) for key in ("unit", "low", "high")] == [ours.unit, ours.low, ours.high]


def _expect(holds: bool, message: str) -> None:
    if not holds:
        raise BadBundle(message if "`" in message else f"{message} Export the bundle again.", code="format")
