"""Choose the fastest engine of this machine whose answers are those of ONNX Runtime in float32, and remember it.

The choice of `--engine auto` is measured at first use, for a second or two an engine, and kept in a cache with what it
depends on: the networks of the bundle, the processor, the threads, and the versions of the packages.
"""

import contextlib
import json
import os
import platform
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from pathlib import Path
from time import perf_counter
from typing import Any

import numpy as np
from numpy.typing import NDArray

from covid_xray import __version__
from covid_xray.bundle.bundle import Bundle, load_bundle
from covid_xray.errors import CovidXrayError, UsageError
from covid_xray.files import sha256_bytes, write_json
from covid_xray.images.phantoms.reference import draw
from covid_xray.images.radiograph import Radiograph
from covid_xray.inference.engines import GPU, PIECE, Engine, open_engine
from covid_xray.inference.view import Viewer

AUTO = "auto"
REFERENCE = ("onnxruntime", "float32")
CANDIDATES = (
    REFERENCE,
    ("onnxruntime", "int8"),
    ("openvino", "float32"),
    ("openvino", "bfloat16"),
    ("openvino", "int8"),
    *((name, "float32") for name in GPU),
)
AGREEMENT = 0.995  # least share of reference images with the same label
LARGEST = 0.01  # largest difference of a calibrated probability: no operating point is passed by more
GAIN = 1.1  # how much faster than the reference it must be: less is within the noise of a measurement
IMAGES = 32
PIECES = (1, 4, 8)  # images in one call that are tried
ROUNDS = 3  # the engines take turns, since other work may slow some of them down; the best turn counts


@dataclass(frozen=True)
class Choice:
    """The engine of a bundle.

    Args:
        engine, precision: as of `open_engine`.
        piece: images in one call.
        measured: by engine and precision, the images per second, `agreement` and `largest` difference of a probability;
            or why it was left out. Empty where nothing was measured.
    """

    engine: str
    precision: str
    piece: int = PIECE
    measured: Mapping[str, Any] | None = None

    def open(self, bundle: Bundle, *, threads: int, few: bool, shares: bool) -> Engine:
        """Open the network of `bundle`; as of `open_engine`."""
        return open_engine(
            bundle, engine=self.engine, precision=self.precision, threads=threads, few=few, shares=shares,
            piece=self.piece,
        )  # fmt: skip


def choose(bundle: Bundle, *, engine: str, precision: str, threads: int) -> tuple[Bundle, Choice]:
    """Decide which engine runs `bundle`: the one that was asked for, or with `auto` the fastest.

    Returns:
        The bundle, loaded in int8 where that was chosen, and the choice.

    Raises:
        UsageError: `auto` with a precision, which it chooses itself.
    """
    if engine != AUTO:
        return bundle, Choice(engine, "int8" if bundle.int8 else precision)
    if bundle.int8 or precision != "float32":
        raise UsageError(f"--engine auto chooses the precision too, and {precision} was given. Leave --precision out.")
    choice = remembered(bundle, threads=threads)
    if choice is None:
        choice = measure(bundle, threads=threads)
        _remember(_key(bundle, threads), choice)
    return load_bundle(bundle.folder, int8=True) if choice.precision == "int8" else bundle, choice


def remembered(bundle: Bundle, *, threads: int) -> Choice | None:
    """Return the choice that was measured earlier for this bundle on this machine, if any."""
    stored = _stored().get(_key(bundle, threads))
    try:
        choice = Choice(**stored) if stored else None
    except TypeError:
        return None
    known = choice and (choice.engine, choice.precision) in CANDIDATES and choice.piece in PIECES
    return choice if known else None


def describe(bundle: Bundle, *, threads: int = 0) -> dict[str, Any] | str:
    """Describe what `--engine auto` uses for this bundle on this machine, or say that nothing was measured yet."""
    choice = remembered(bundle, threads=threads)
    return asdict(choice) if choice else "not measured yet on this machine: covid-xray predict IMAGE --engine auto"


def measure(bundle: Bundle, *, threads: int) -> Choice:
    """Measure every engine that runs here and choose the fastest whose answers are those of float32."""
    pixels = _inputs(bundle)
    opened, facts = _open_all(bundle, threads)
    expected = _probabilities(opened[REFERENCE], pixels, bundle.temperature)
    for candidate in [*opened]:
        found = _probabilities(opened[candidate], pixels, bundle.temperature)
        agreement = float(np.mean(found.argmax(axis=1) == expected.argmax(axis=1)))
        largest = float(np.abs(found - expected).max())
        facts[_name(candidate)] = {"agreement": agreement, "largest": largest}
        if not (agreement >= AGREEMENT and largest <= LARGEST):
            del opened[candidate]
    seconds = {candidate: dict.fromkeys(PIECES, float("inf")) for candidate in opened}
    for _ in range(ROUNDS):
        for candidate, engine in opened.items():
            for piece in PIECES:
                spent = _seconds(engine, pixels[: max(PIECES)], piece)
                seconds[candidate][piece] = min(seconds[candidate][piece], spent)
    speeds = {candidate: max(PIECES) / min(found.values()) for candidate, found in seconds.items()}
    pieces = {candidate: min(found, key=found.__getitem__) for candidate, found in seconds.items()}
    for candidate, speed in speeds.items():
        facts[_name(candidate)] |= {"images_per_second": round(speed, 1), "images_in_a_call": pieces[candidate]}
    best = max(speeds, key=speeds.__getitem__)
    best = best if speeds[best] >= GAIN * speeds[REFERENCE] else REFERENCE
    return Choice(*best, piece=pieces[best], measured=facts)


def processor() -> str:
    """Name the processor of this machine."""
    try:
        lines = Path("/proc/cpuinfo").read_text(encoding="utf-8", errors="replace").splitlines()
    except OSError:
        return platform.processor()
    return next((line.partition(":")[2].strip() for line in lines if line.startswith("model name")), platform.machine())


def _inputs(bundle: Bundle) -> NDArray[np.float32]:
    viewer = Viewer(height=bundle.height, width=bundle.width, lungs=bundle.lungs, crop=bundle.crop)
    pixels = np.stack([viewer.view(Radiograph(draw(seed))).pixels for seed in range(IMAGES)])
    return pixels[..., None].astype(np.float32)


def _open_all(bundle: Bundle, threads: int) -> tuple[dict[tuple[str, str], Engine], dict[str, Any]]:
    """Open the engines that run here; of the others, say why not. The reference must open."""
    opened, facts = {}, {}
    for candidate in CANDIDATES:
        try:
            int8 = candidate[1] == "int8"
            loaded = load_bundle(bundle.folder, int8=True) if int8 else bundle
            opened[candidate] = open_engine(loaded, engine=candidate[0], precision=candidate[1], threads=threads)
        except CovidXrayError as error:
            if candidate == REFERENCE:
                raise
            facts[_name(candidate)] = {"left_out": error.message}
    return opened, facts


def _probabilities(engine: Engine, pixels: NDArray[np.float32], temperature: float) -> NDArray[np.float64]:
    powers = engine.run(pixels, ["probabilities"])["probabilities"].astype(np.float64) ** (1 / temperature)
    return np.asarray(powers / powers.sum(axis=1, keepdims=True))


def _seconds(engine: Engine, pixels: NDArray[np.float32], piece: int) -> float:
    engine.piece = piece
    started = perf_counter()
    engine.run(pixels, ["probabilities", "embedding"])
    return perf_counter() - started


def _name(candidate: tuple[str, str]) -> str:
    return " ".join(candidate)


def _key(bundle: Bundle, threads: int) -> str:
    networks = [bundle.facts[key]["sha256"] for key in ("model", "int8") if key in bundle.facts]
    packages = {name: _version(name) for name in ("onnxruntime", "onnxruntime-gpu", "openvino")}
    facts = [networks, processor(), os.cpu_count(), threads, packages, __version__]
    return sha256_bytes(json.dumps(facts, sort_keys=True).encode())


def _version(package: str) -> str | None:
    from importlib import metadata

    try:
        return metadata.version(package)
    except metadata.PackageNotFoundError:
        return None


def _cache() -> Path:
    given = os.environ.get("XDG_CACHE_HOME", "")
    return (Path(given) if given else Path("~/.cache").expanduser()) / "covid-xray" / "engines.json"


def _stored() -> dict[str, Any]:
    try:
        stored = json.loads(_cache().read_text(encoding="utf-8"))
    except (OSError, ValueError, RuntimeError):  # none yet, damaged, or a user without a home
        return {}
    return stored if isinstance(stored, dict) else {}


def _remember(key: str, choice: Choice) -> None:
    """Keep the choice; where the cache cannot be written, it is measured again next time."""
    with contextlib.suppress(OSError, RuntimeError, CovidXrayError):
        _cache().parent.mkdir(parents=True, exist_ok=True)
        write_json(_cache(), {**_stored(), key: asdict(choice)})
