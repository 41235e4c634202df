"""`--engine auto`: the fastest engine that agrees with float32, measured once and remembered for this machine."""

import json
from pathlib import Path

import numpy as np
import pytest

from covid_xray.bundle.bundle import Bundle, load_bundle, write_bundle
from covid_xray.errors import MissingPackage, UsageError
from covid_xray.inference import engines
from covid_xray.inference.networks import fastest
from covid_xray.inference.predictor import Predictor
from support.bundles import facts, make_bundle, network


class Twin:
    """An engine that answers as another one does, with a constant added to each probability, after a delay."""

    version = "twin 1"

    def __init__(self, engine: engines.Engine, clock: "Clock", *, seconds: float, off: float = 0.0) -> None:
        self._engine, self._clock, self._seconds, self._off, self.piece = engine, clock, seconds, off, 4

    def run(self, x: np.ndarray, outputs: list[str]) -> dict[str, np.ndarray]:
        self._clock.now += self._seconds * len(x) * (1 + abs(self.piece - 8) / 100)
        found = self._engine.run(x, outputs)
        shift = np.array([self._off, -self._off, 0], np.float32)
        return {**found, "probabilities": np.clip(found["probabilities"] + shift, 1e-6, 1)}


class Clock:
    now = 0.0


@pytest.fixture(autouse=True)
def cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    return tmp_path / "cache" / "covid-xray" / "engines.json"


@pytest.fixture
def bundle(tmp_path: Path) -> Bundle:
    return load_bundle(make_bundle(tmp_path / "bundle", model=network(sharpness=0.05)))


@pytest.fixture
def twins(monkeypatch: pytest.MonkeyPatch) -> dict[tuple[str, str], tuple[float, float]]:
    """Seconds an image and difference of a probability of each engine; those without an entry are not installed."""
    clock, real = Clock(), engines.open_engine
    table = {fastest.REFERENCE: (1.0, 0.0)}

    def opened(bundle: Bundle, *, engine: str, precision: str, threads: int) -> Twin:
        if (engine, precision) not in table:
            raise MissingPackage(f"{engine} is not installed.")
        seconds, off = table[engine, precision]
        return Twin(real(bundle, threads=1), clock, seconds=seconds, off=off)

    monkeypatch.setattr(fastest, "open_engine", opened)
    monkeypatch.setattr(fastest, "perf_counter", lambda: clock.now)
    return table


def test_a_faster_engine_that_agrees_is_chosen_with_its_best_batch(bundle: Bundle, twins: dict) -> None:
    twins["openvino", "float32"] = (0.5, 0.001)
    choice = fastest.measure(bundle, threads=1)
    assert (choice.engine, choice.precision, choice.piece) == ("openvino", "float32", 8)
    assert choice.measured["openvino float32"]["images_per_second"] == 2.0
    assert "not installed" in choice.measured["openvino bfloat16"]["left_out"]


@pytest.mark.parametrize(
    ("seconds", "off"), [(0.1, 0.02), (0.1, 0.4), (0.99, 0.0), (2.0, 0.0)], ids=["far", "labels", "noise", "slower"]
)
def test_float32_stays_where_nothing_qualifies(bundle: Bundle, twins: dict, seconds: float, off: float) -> None:
    twins["openvino", "float32"] = (seconds, off)
    choice = fastest.measure(bundle, threads=1)
    assert (choice.engine, choice.precision) == fastest.REFERENCE
    assert "images_per_second" in choice.measured["onnxruntime float32"]


def test_the_choice_is_measured_once_for_a_bundle_a_processor_and_versions(
    bundle: Bundle, twins: dict, cache: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert "not measured" in fastest.describe(bundle)
    _, first = fastest.choose(bundle, engine="auto", precision="float32", threads=0)
    assert fastest.describe(bundle)["measured"] == first.measured
    twins["openvino", "float32"] = (0.1, 0.0)
    assert fastest.choose(bundle, engine="auto", precision="float32", threads=0)[1] == first
    monkeypatch.setattr(fastest, "processor", lambda: "another one")
    assert fastest.choose(bundle, engine="auto", precision="float32", threads=0)[1].engine == "openvino"
    assert len(json.loads(cache.read_text())) == 2


@pytest.mark.parametrize("stored", ["", "[]", '{"KEY": {}}', '{"KEY": {"engine": "abacus", "precision": "float32"}}'])
def test_a_damaged_cache_is_measured_again(bundle: Bundle, twins: dict, cache: Path, stored: str) -> None:
    cache.parent.mkdir(parents=True)
    cache.write_text(stored.replace("KEY", fastest._key(bundle, 0)))
    assert fastest.remembered(bundle, threads=0) is None
    fastest.choose(bundle, engine="auto", precision="float32", threads=0)
    assert fastest.remembered(bundle, threads=0) is not None


def test_without_a_cache_it_is_measured_each_time(
    bundle: Bundle, twins: dict, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "file").write_text("")
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "file"))
    assert fastest.choose(bundle, engine="auto", precision="float32", threads=0)[1].engine == "onnxruntime"


def test_int8_is_loaded_where_it_is_chosen(tmp_path: Path, twins: dict) -> None:
    write_bundle(
        tmp_path / "two", model=network(sharpness=0.05), facts=facts(int8={"agreement": 1.0}),
        int8=network(sharpness=0.05, classes=3),
    )  # fmt: skip
    twins["onnxruntime", "int8"] = (0.2, 0.0)
    loaded, choice = fastest.choose(load_bundle(tmp_path / "two"), engine="auto", precision="float32", threads=0)
    assert loaded.int8
    assert choice.precision == "int8"


def test_a_predictor_answers_with_the_choice(bundle: Bundle, cache: Path) -> None:
    """Engines as they are installed here."""
    predictor = Predictor(bundle, engine="auto", threads=1)
    chosen = json.loads(cache.read_text()).popitem()[1]
    assert predictor.engine.startswith(chosen["engine"])
    assert predictor.precision == chosen["precision"]
    pixels = np.full((3, 24, 24), 225, np.uint8)
    expected = Predictor(bundle, threads=1).run(pixels)["probabilities"]
    np.testing.assert_allclose(predictor.run(pixels)["probabilities"], expected, atol=fastest.LARGEST)


def test_auto_chooses_the_precision_itself(bundle: Bundle) -> None:
    with pytest.raises(UsageError, match="Leave --precision out"):
        Predictor(bundle, engine="auto", precision="bfloat16")
