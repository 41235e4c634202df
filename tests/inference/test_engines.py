"""Every engine and precision gives the same answers, as far as its digits go, and refuses what it cannot run."""

import importlib.util
import sys
from pathlib import Path

import numpy as np
import pytest

from covid_xray.bundle.bundle import load_bundle
from covid_xray.errors import BadBundle, MissingPackage, UsageError
from covid_xray.images.radiograph import Radiograph
from covid_xray.inference import engines
from covid_xray.inference.engines import open_engine
from covid_xray.inference.predictor import Predictor
from support.bundles import CLASSES, GREYS, SIZE, facts, grey, make_bundle, network

needs_openvino = pytest.mark.skipif(
    importlib.util.find_spec("openvino") is None, reason='openvino is not installed: pip install "covid-xray[openvino]"'
)
ALL = [
    pytest.param("onnxruntime", "float32", 1e-6),
    pytest.param("openvino", "float32", 1e-4, marks=needs_openvino),
    pytest.param("openvino", "bfloat16", 0.05, marks=needs_openvino),
]


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return make_bundle(tmp_path_factory.mktemp("bundles") / "bundle", model=network(sharpness=0.1))


@pytest.fixture(scope="module")
def images() -> list[Radiograph]:
    return [Radiograph(grey(label, seed=seed, height=SIZE, width=SIZE)) for label in CLASSES for seed in range(6)]


def opened(folder: Path, engine: str, precision: str) -> Predictor:
    try:
        return Predictor(folder, engine=engine, precision=precision, threads=1)
    except UsageError as error:
        if "processor" in error.message:
            pytest.skip("this processor has no bfloat16")
        raise


@pytest.mark.parametrize(("engine", "precision", "tolerance"), ALL)
def test_parity(folder: Path, images: list[Radiograph], engine: str, precision: str, tolerance: float) -> None:
    expected = Predictor(folder, threads=1).run(np.stack([image.pixels for image in images]), class_maps=True)
    predictor = opened(folder, engine, precision)
    received = predictor.run(np.stack([image.pixels for image in images]), class_maps=True)
    assert predictor.engine.startswith(engine)
    for name, values in expected.items():
        scale = max(1.0, float(np.abs(values).max()))
        np.testing.assert_allclose(received[name] / scale, values / scale, atol=tolerance)
    np.testing.assert_array_equal(received["probabilities"].argmax(axis=1), expected["probabilities"].argmax(axis=1))


@pytest.mark.parametrize(("engine", "precision", "tolerance"), ALL)
def test_answers_do_not_depend_on_the_batch(
    folder: Path, images: list[Radiograph], engine: str, precision: str, tolerance: float
) -> None:
    predictor = opened(folder, engine, precision)
    alone = [predictor.predict(image).probabilities for image in images[:4]]
    together = [answer.probabilities for answer in predictor.predict_many(images, batch=5)]
    for first, second in zip(alone, together, strict=False):
        assert first == pytest.approx(second, abs=max(tolerance, 1e-6))


@pytest.mark.parametrize("shares", [True, False])
def test_threads_of_the_network_leave_the_processor_to_those_that_decode(folder: Path, shares: bool) -> None:
    options = {} if shares else {"shares": False}
    session = open_engine(load_bundle(folder), threads=2, **options)._session  # type: ignore[attr-defined]
    spins = session.get_session_options().get_session_config_entry("session.intra_op.allow_spinning")
    assert spins == ("0" if shares else "1")


def test_the_shipped_network_answers_the_same_bits_in_any_company() -> None:
    predictor = Predictor(threads=1)
    pixels = np.stack([grey(label, seed=seed, height=192, width=192) for label in CLASSES for seed in range(4)])
    alone = [predictor.run(pixels[i : i + 1], class_maps=True) for i in range(len(pixels))]
    for count in (2, 5, 8, len(pixels)):
        together = predictor.run(pixels[:count], class_maps=True)
        for name, values in together.items():
            assert len(values) == count
            for i, one in enumerate(values):
                np.testing.assert_array_equal(one, alone[i][name][0])


@pytest.mark.parametrize(
    ("name", "processor"),
    [("cuda", "CPUExecutionProvider"), pytest.param("openvino-gpu", "CPU", marks=needs_openvino)],
)
def test_an_engine_of_a_gpu_answers_as_its_twin_on_the_processor_does(
    folder: Path, images: list[Radiograph], monkeypatch: pytest.MonkeyPatch, name: str, processor: str
) -> None:
    monkeypatch.setitem(engines.GPU, name, (processor, engines.GPU[name][1]))
    pixels = np.stack([image.pixels for image in images])
    twin = Predictor(folder, engine=name, threads=1)
    assert twin.engine.endswith(f"({name})")
    expected = Predictor(folder, threads=1).run(pixels, class_maps=True)
    for key, values in twin.run(pixels, class_maps=True).items():
        np.testing.assert_allclose(values, expected[key], atol=1e-4)


@pytest.mark.parametrize("name", ["cuda", "tensorrt", pytest.param("openvino-gpu", marks=needs_openvino)])
def test_a_gpu_that_is_not_there_is_named_with_what_it_needs(folder: Path, name: str) -> None:
    if name == "openvino-gpu":
        import openvino

        there = any(device.startswith("GPU") for device in openvino.Core().available_devices)
    else:
        import onnxruntime

        there = engines.GPU[name][0] in onnxruntime.get_available_providers()
    if there:
        pytest.skip("this machine has such a GPU")
    with pytest.raises((MissingPackage, UsageError)) as error:
        Predictor(folder, engine=name)
    assert name in error.value.message
    assert engines.GPU[name][1] in error.value.message


@needs_openvino
def test_openvino_is_thread_safe(folder: Path, images: list[Radiograph]) -> None:
    from concurrent.futures import ThreadPoolExecutor

    predictor = opened(folder, "openvino", "float32")
    expected = [predictor.predict(image).probabilities for image in images]
    with ThreadPoolExecutor(6) as pool:
        for _ in range(5):
            received = [finding.probabilities for finding in pool.map(predictor.predict, images)]
            for first, second in zip(expected, received, strict=True):
                assert first == pytest.approx(second, abs=1e-5)


@needs_openvino
def test_outputs_stay_after_the_next_run(folder: Path) -> None:
    predictor = opened(folder, "openvino", "float32")
    first = predictor.run(np.full((1, SIZE, SIZE), GREYS["covid"], np.uint8))["probabilities"]
    before = first.copy()
    predictor.run(np.full((1, SIZE, SIZE), GREYS["normal"], np.uint8))
    np.testing.assert_array_equal(first, before)


@needs_openvino
@pytest.mark.parametrize("model", [b"", b"\x08\x08"], ids=["empty", "no graph"])
def test_openvino_refuses_what_is_no_network(tmp_path: Path, model: bytes) -> None:
    with pytest.raises(BadBundle):
        Predictor(make_bundle(tmp_path / "bundle", model=model), engine="openvino")


@needs_openvino
def test_openvino_checks_the_graph(tmp_path: Path) -> None:
    with pytest.raises(BadBundle, match="4 classes"):
        Predictor(make_bundle(tmp_path / "bundle", classes=[*CLASSES, "more"]), engine="openvino")


def test_a_missing_engine_names_its_extra(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "openvino", None)
    with pytest.raises(MissingPackage, match=r"covid-xray\[openvino\]"):
        Predictor(folder, engine="openvino")


@pytest.mark.parametrize(
    "choice",
    [{"engine": "abacus"}, {"precision": "float8"}, {"engine": "onnxruntime", "precision": "bfloat16"}],
    ids=str,
)
def test_unknown_choices(folder: Path, choice: dict[str, str]) -> None:
    with pytest.raises(UsageError, match="Choose"):
        open_engine(load_bundle(folder), **choice)  # type: ignore[arg-type]


def test_a_bundle_in_int8_runs_as_int8(tmp_path: Path) -> None:
    from covid_xray.bundle.bundle import write_bundle

    other = network(sharpness=0.3)  # stands for the quantised network: what matters is which file runs
    write_bundle(tmp_path / "bundle", model=network(), facts=facts(int8={"agreement": 1.0}), int8=other)
    radiograph = Radiograph(grey("covid"))
    plain, quantised = (Predictor(tmp_path / "bundle", precision=p, threads=1) for p in ("float32", "int8"))
    assert plain.identity.sha256 != quantised.identity.sha256
    assert quantised.predict(radiograph).probabilities["covid"] < plain.predict(radiograph).probabilities["covid"]
    assert Predictor(load_bundle(tmp_path / "bundle", int8=True)).precision == "int8"
    (tmp_path / "bundle" / "model_int8.onnx").write_bytes(network(sharpness=0.4))
    Predictor(tmp_path / "bundle", threads=1)
    with pytest.raises(BadBundle) as error:
        Predictor(tmp_path / "bundle", precision="int8")
    assert error.value.code == "altered"
