"""The one artefact: a folder with `model.onnx` and `bundle.json`. Load and verify, or write.

`bundle.json` names everything an answer depends on: classes in order, input size and preprocessing version,
temperature, operating points, conformal quantiles, gate statistics, training data, metrics. It carries the SHA-256 of
`model.onnx` and, in `checksum`, of itself, so that a flipped byte in either file is noticed before the first answer.
"""

import json
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from covid_xray.errors import BadBundle
from covid_xray.files import replacing_folder, sha256_bytes, write_json
from covid_xray.images.pixels import PIXELS_VERSION

FORMAT = 1
MODEL_FILE = "model.onnx"
FACTS_FILE = "bundle.json"
OUTPUTS = ("probabilities", "class_maps", "embedding")
REQUIRED = ("name", "version", "classes", "input", "outputs", "model", "temperature")
DEFAULT = Path(__file__).parent / "default"


@dataclass(frozen=True, eq=False)
class Bundle:
    """A verified bundle, ready to run.

    Args:
        folder: where it lies.
        name, version: of the network.
        classes: in the order of the network's outputs, everywhere in the house.
        height, width: of the network's input.
        temperature: divides the logits before the softmax; 1 where it was not fitted.
        sha256: of `model.onnx`; it identifies the network.
        facts: all of `bundle.json`.
        model: the bytes of `model.onnx`, those that were hashed.
    """

    folder: Path
    name: str
    version: str
    classes: tuple[str, ...]
    height: int
    width: int
    temperature: float
    sha256: str
    facts: Mapping[str, Any]
    model: bytes


def load_bundle(folder: str | Path | None = None) -> Bundle:
    """The bundle in `folder`, or the one that ships with the package.

    Raises:
        BadBundle: missing, incomplete, altered, of another format, or made for other preprocessing; the message
            says which.
    """
    path = Path(folder) if folder is not None else DEFAULT
    facts = _read_facts(path, shipped=folder is None)
    model = _read_model(path, facts["model"])
    size = facts["input"]
    return Bundle(
        folder=path,
        name=str(facts["name"]),
        version=str(facts["version"]),
        classes=tuple(facts["classes"]),
        height=int(size["height"]),
        width=int(size["width"]),
        temperature=float(facts["temperature"]),
        sha256=str(facts["model"]["sha256"]),
        facts=facts,
        model=model,
    )


def write_bundle(folder: Path, *, model: bytes, facts: Mapping[str, Any]) -> None:
    """Write `model` and `facts` as a bundle; the folder appears complete or not at all."""
    with replacing_folder(folder) as temporary:
        (temporary / MODEL_FILE).write_bytes(model)
        write_json(temporary / FACTS_FILE, _sealed({**facts, "format": FORMAT, "model": _identity(model)}))


def record(folder: Path, **facts: Any) -> None:
    """Add or replace facts (metrics, operating points ...) of the bundle in `folder`; the network stays as it is."""
    bundle = load_bundle(folder)
    write_json(folder / FACTS_FILE, _sealed({**bundle.facts, **facts}))


def _identity(model: bytes) -> dict[str, Any]:
    return {"file": MODEL_FILE, "sha256": sha256_bytes(model), "bytes": len(model)}


def _sealed(facts: Mapping[str, Any]) -> dict[str, Any]:
    content = {key: value for key, value in facts.items() if key != "checksum"}
    return {**content, "checksum": _checksum(content)}


def _checksum(facts: Mapping[str, Any]) -> str:
    content = {key: value for key, value in facts.items() if key != "checksum"}
    return sha256_bytes(json.dumps(content, sort_keys=True, ensure_ascii=False).encode())


def _read_facts(folder: Path, *, shipped: bool) -> dict[str, Any]:
    path = folder / FACTS_FILE
    if not path.is_file():
        raise BadBundle(_missing(folder, shipped=shipped), code="no-bundle")
    try:
        facts = json.loads(path.read_text(encoding="utf-8"))
    except ValueError:
        raise BadBundle(f"expected {path} to be JSON in UTF-8. Received: something else", code="altered") from None
    if not isinstance(facts, dict) or facts.get("format") != FORMAT:
        received = facts.get("format") if isinstance(facts, dict) else type(facts).__name__
        raise BadBundle(f"expected {path} of bundle format {FORMAT}. Received: format {received}", code="format")
    if facts.get("checksum") != _checksum(facts):
        raise BadBundle(f"expected {path} as it was written. Received: another checksum", code="altered")
    _check_facts(path, facts)
    return facts


def _missing(folder: Path, *, shipped: bool) -> str:
    how = "Make one with `covid-xray train` (or `make demo`) and name its folder: --bundle runs/x/bundle"
    if shipped:
        return f"expected a bundle. Received: none, and no network ships with this version yet. {how}"
    return f"expected a bundle ({MODEL_FILE} and {FACTS_FILE}) in {folder}. Received: no {FACTS_FILE} there. {how}"


def _check_facts(path: Path, facts: Mapping[str, Any]) -> None:
    missing = [key for key in REQUIRED if key not in facts]
    if missing:
        raise BadBundle(f"expected {path} to hold {', '.join(REQUIRED)}. Received: no {missing[0]}", code="format")
    classes = facts["classes"]
    if len(classes) < 2 or len(set(classes)) != len(classes):
        raise BadBundle(f"expected {path} to name two or more different classes. Received: {classes}", code="format")
    version = facts["input"].get("pixels_version")
    if version != PIXELS_VERSION:
        raise BadBundle(
            f"expected {path} made for pixels version {PIXELS_VERSION}. Received: version {version}", code="format"
        )


def _read_model(folder: Path, identity: Mapping[str, Any]) -> bytes:
    path = folder / MODEL_FILE
    if not path.is_file():
        raise BadBundle(f"expected {path}. Received: no such file", code="no-bundle")
    model = path.read_bytes()
    if sha256_bytes(model) != identity["sha256"]:
        raise BadBundle(
            f"expected {path} with the SHA-256 that {FACTS_FILE} names. Received: another file", code="altered"
        )
    return model
