"""Load and verify, or write, a bundle: a folder with `model.onnx` and `bundle.json`.

`bundle.json` holds everything that a prediction depends on (`contents.Contents`). It has the SHA-256 of `model.onnx`
and, in `checksum`, of itself, so that a flipped byte in either file is noticed before the first prediction. It may also
hold the same network in int8, `model_int8.onnx`, a lung network, `lungs.onnx`, and a network for clinical values,
`fusion.onnx`, each with its own hash, and `trained.bin`, which only evaluation opens.
"""

import json
import os
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any, Literal

from covid_xray.bundle.contents import Contents, FusionFacts, read_as, read_contents
from covid_xray.bundle.fusion_network import FUSION_FILE, FusionNetwork
from covid_xray.bundle.lung_network import LUNGS_FILE, LungNetwork
from covid_xray.bundle.onnx_file import has_external_data
from covid_xray.bundle.prefetch import read_hashed
from covid_xray.bundle.schema import check_facts, check_lungs
from covid_xray.errors import BadBundle
from covid_xray.files import replacing_folder, sha256_bytes, write_json

FORMAT = 1
MODEL_FILE = "model.onnx"
INT8_FILE = "model_int8.onnx"
FACTS_FILE = "bundle.json"
TRAINED_FILE = "trained.bin"
OUTPUTS = ("probabilities", "class_maps", "embedding")
DEFAULT = Path(__file__).parent / "default"
# The facts that answers depend on: with the same of them, the same picture has the same answer.
ANSWERING = ("classes", "input", "outputs", "well", "least_known", "temperature", "conformal", "operating_points",
             "gate", "model", "lungs", "tta")  # fmt: skip


@dataclass(frozen=True, eq=False)
class Bundle:
    """A verified bundle, ready to run.

    Args:
        folder: of the bundle.
        name, version: of the network.
        classes: in the order of the network's outputs, as everywhere in this package.
        height, width: of the network's input.
        temperature: divides the logits before the softmax; 1 where it was not fitted.
        sha256: of the ONNX file that was loaded; it identifies the network.
        facts: the document `bundle.json` as it is, to be shown or written again; `contents` has it typed.
        model: the bytes of the ONNX file, those that were hashed.
        int8: whether that is the quantised form of the network.
        lungs, fusion: the lung network, and the one for clinical values; `None` where the bundle has none.
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
    int8: bool = False
    lungs: LungNetwork | None = None
    fusion: FusionNetwork | None = None

    @cached_property
    def contents(self) -> Contents:
        """The content of `bundle.json`, typed. Raises `BadBundle` where a value has another type."""
        return read_contents(self.facts)

    @property
    def crop(self) -> Literal["none", "lungs", "lungs-only"]:
        """Return the part that the network sees: the whole picture, the lungs with a margin, or the lungs alone."""
        return self.contents.input.crop

    @property
    def answers_sha256(self) -> str:
        """SHA-256 of all facts that answers depend on; it does not change with figures that are recorded later."""
        return _checksum({key: self.facts[key] for key in ANSWERING if key in self.facts})


def load_bundle(
    folder: str | os.PathLike[str] | None = None,
    *,
    int8: bool = False,
    read: Callable[[Path], tuple[bytes, str]] = read_hashed,
) -> Bundle:
    """Load the bundle in `folder`, or the one that ships with the package.

    Args:
        folder: of the bundle, or of the run that holds it.
        int8: load `model_int8.onnx` instead of `model.onnx`.
        read: returns the bytes of a file and their SHA-256; a `ReadAhead` has started earlier.

    Examples:
        >>> from covid_xray import load_bundle
        >>> classes = load_bundle("runs/first").classes

    Raises:
        BadBundle: missing, incomplete, altered, of another format, or made for other preprocessing.
    """
    path = bundle_folder(folder)
    facts = read_facts(folder)
    if int8 and "int8" not in facts:
        raise BadBundle(
            f"The bundle in {path} has no int8 network. Add it with `covid-xray export RUN --int8 --data DATA`.",
            code="no-int8",
        )
    identity = facts["int8" if int8 else "model"]
    others = {
        key: _read_model(path / file, facts[key], read_hashed)
        for key, file in (("lungs", LUNGS_FILE), ("fusion", FUSION_FILE))
        if facts.get(key)
    }
    model = _read_model(model_path(folder, int8=int8), identity, read)
    return unsealed(facts, model, folder=path, int8=int8, **others)


def bundle_folder(folder: str | os.PathLike[str] | None = None) -> Path:
    """Return the folder of a bundle: of a run folder the one inside it, for `None` the one that ships."""
    path = Path(folder) if folder is not None else DEFAULT
    inside = path / "bundle"
    return inside if not (path / FACTS_FILE).is_file() and (inside / FACTS_FILE).is_file() else path


def model_path(folder: str | os.PathLike[str] | None = None, *, int8: bool = False) -> Path:
    """Return the path of a bundle's ONNX file."""
    return bundle_folder(folder) / (INT8_FILE if int8 else MODEL_FILE)


def unsealed(
    facts: Mapping[str, Any],
    model: bytes,
    *,
    folder: Path,
    int8: bool = False,
    lungs: bytes | None = None,
    fusion: bytes | None = None,
) -> Bundle:
    """Make a bundle in memory of checked facts and their ONNX files."""
    return Bundle(
        folder=folder,
        name=str(facts["name"]),
        version=str(facts["version"]),
        classes=tuple(facts["classes"]),
        height=int(facts["input"]["height"]),
        width=int(facts["input"]["width"]),
        temperature=float(facts["temperature"]),
        sha256=str(facts["int8" if int8 else "model"]["sha256"]),
        facts=facts,
        model=model,
        int8=int8,
        lungs=LungNetwork(lungs, facts["lungs"]) if lungs is not None else None,
        fusion=FusionNetwork(fusion, read_as(FusionFacts, facts["fusion"], "fusion")) if fusion is not None else None,
    )


def read_facts(folder: str | os.PathLike[str] | None = None) -> dict[str, Any]:
    """Read and check `bundle.json` without the network. Raises `BadBundle` as `load_bundle` does."""
    path = bundle_folder(folder) / FACTS_FILE
    if not path.is_file():
        raise BadBundle(_missing(path.parent, shipped=folder is None), code="no-bundle")
    try:
        facts = json.loads(path.read_text(encoding="utf-8"))
    except (ValueError, RecursionError):
        raise BadBundle(f"{path} is not JSON in UTF-8. Copy or export the bundle again.", code="altered") from None
    if not isinstance(facts, dict) or facts.get("format") != FORMAT:
        found = facts.get("format") if isinstance(facts, dict) else type(facts).__name__
        raise BadBundle(
            f"{path} has the bundle format {found}; this program reads format {FORMAT}. Export the bundle again.",
            code="format",
        )
    if facts.get("checksum") != _checksum(facts):
        raise BadBundle(f"{path} was altered: its checksum is wrong. Copy the bundle again.", code="altered")
    check_facts(path, facts)
    return facts


def write_bundle(
    folder: Path,
    *,
    model: bytes,
    facts: Mapping[str, Any],
    int8: bytes | None = None,
    lungs: bytes | None = None,
    fusion: bytes | None = None,
    trained: bytes | None = None,
) -> None:
    """Write `model` and `facts` as a bundle; the folder appears complete or not at all.

    Args:
        folder: of the bundle; an existing one is replaced.
        model: `model.onnx`.
        facts: everything for `bundle.json` but `format`, the hashes and the checksum.
        int8: `model_int8.onnx`, the same network quantised; its facts are in `facts["int8"]`.
        lungs, fusion: `lungs.onnx` and `fusion.onnx`; their facts are in `facts` under these names.
        trained: `trained.bin`, the images that the network knows (`bundle.trained`), in the same way.

    Raises:
        BadBundle: the facts say that lungs are cropped, and no lung network is given; nothing was written.
    """
    sealed = {**facts, "format": FORMAT, "model": identity_of(model, MODEL_FILE)}
    others = {"int8": (int8, INT8_FILE), "lungs": (lungs, LUNGS_FILE), "fusion": (fusion, FUSION_FILE)}
    others["trained"] = (trained, TRAINED_FILE)
    for key, (data, file) in others.items():
        sealed.pop(key, None)
        if data is not None:
            sealed[key] = {**facts.get(key, {}), **identity_of(data, file)}
    check_lungs(folder / FACTS_FILE, sealed)
    with replacing_folder(folder) as temporary:
        (temporary / MODEL_FILE).write_bytes(model)
        for data, file in others.values():
            if data is not None:
                (temporary / file).write_bytes(data)
        write_json(temporary / FACTS_FILE, _sealed(sealed))


def networks(folder: Path) -> dict[str, bytes]:
    """Read and verify the other files of a bundle as arguments of `write_bundle`, to write it anew with one changed."""
    found = {"model": (bundle := load_bundle(folder)).model}
    found |= {"int8": load_bundle(folder, int8=True).model} if "int8" in bundle.facts else {}
    found |= {key: part.model for key in ("lungs", "fusion") if (part := getattr(bundle, key)) is not None}
    if trained := bundle.facts.get("trained"):
        found["trained"] = read_verified(bundle.folder / TRAINED_FILE, trained)
    return found


def record(folder: Path, **facts: Any) -> None:
    """Add or replace facts (metrics, operating points ...) of the bundle in `folder`; the network stays as it is.

    Raises:
        BadBundle: the bundle is invalid, or would be with these facts; it stays as it was.
    """
    bundle = load_bundle(folder)
    changed = {**bundle.facts, **facts}
    check_facts(bundle.folder / FACTS_FILE, changed)
    write_json(bundle.folder / FACTS_FILE, _sealed(changed))


def identity_of(model: bytes, file: str) -> dict[str, Any]:
    """Name, SHA-256 and size of an ONNX file, as `bundle.json` states them."""
    return {"file": file, "sha256": sha256_bytes(model), "bytes": len(model)}


def _sealed(facts: Mapping[str, Any]) -> dict[str, Any]:
    content = {key: value for key, value in facts.items() if key != "checksum"}
    return {**content, "checksum": _checksum(content)}


def _checksum(facts: Mapping[str, Any]) -> str:
    content = {key: value for key, value in facts.items() if key != "checksum"}
    text = json.dumps(content, sort_keys=True, ensure_ascii=False)
    return sha256_bytes(text.encode("utf-8", errors="surrogatepass"))


def _missing(folder: Path, *, shipped: bool) -> str:
    if shipped:
        return f"The network that ships with covid-xray is missing in {folder}. Install covid-xray again."
    return (
        f"No bundle in {folder}: it has no {FACTS_FILE}. Give a bundle folder of `covid-xray train`, or leave "
        "--bundle out for the network that ships."
    )


def _read_model(path: Path, identity: Mapping[str, Any], read: Callable[[Path], tuple[bytes, str]]) -> bytes:
    model = read_verified(path, identity, read)
    _check_whole(path, model)
    return model


def read_verified(
    path: Path, identity: Mapping[str, Any], read: Callable[[Path], tuple[bytes, str]] = read_hashed
) -> bytes:
    """Read a file of a bundle; raise `BadBundle` where it is missing or not the one that bundle.json names."""
    if not path.is_file():
        raise BadBundle(f"No such file: {path}. Copy the bundle again.", code="no-bundle")
    try:
        model, sha256 = read(path)
    except OSError:
        raise BadBundle(f"{path} cannot be read. Check the disk, or copy the bundle again.", code="altered") from None
    if sha256 != identity["sha256"]:
        raise BadBundle(
            f"{path} was altered: its SHA-256 is not that of {FACTS_FILE}. Copy the bundle again.", code="altered"
        )
    return model


def _check_whole(path: Path, model: bytes) -> None:
    """Refuse external data: it has no hash, and ONNX Runtime would look for it in the working folder."""
    try:
        external = has_external_data(model)
    except (ValueError, RecursionError):
        raise BadBundle(f"{path} is not an ONNX file. Export the bundle again.", code="format") from None
    if external:
        raise BadBundle(
            f"{path} keeps weights in other files (external data). Export it with them inside.", code="format"
        )
