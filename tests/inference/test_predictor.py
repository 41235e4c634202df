"""Images in, findings out: in order, as a stream, each with its own answer, whatever happens to its neighbours."""

import itertools
import json
import subprocess
import sys
import threading
import time
import zipfile
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest
from scipy.special import log_softmax, softmax

from covid_xray.bundle.bundle import load_bundle, record
from covid_xray.config import Limits
from covid_xray.errors import BadImage
from covid_xray.images.radiograph import Radiograph
from covid_xray.inference.finding import CANNOT_SAY, Failure, Finding
from covid_xray.inference.io.inputs import Item, expand
from covid_xray.inference.networks.network import calibrate
from covid_xray.inference.predictor import Predictor
from covid_xray.inference.view import View
from support.bundles import CLASSES, GREYS, SIZE, grey, make_bundle, network
from support.drawing import dicom, png


@pytest.fixture(scope="module")
def bundle(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return make_bundle(tmp_path_factory.mktemp("bundles") / "bundle")


@pytest.fixture(scope="module")
def predictor(bundle: Path) -> Predictor:
    return Predictor(bundle, threads=1)


def reference(pixels: np.ndarray) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Probabilities, embedding and class maps of the small network, in numpy."""
    padded = np.pad(pixels.astype(np.float64) / 255, 1)
    windows = np.lib.stride_tricks.sliding_window_view(padded, (3, 3))
    edges = np.array([[-1, 0, 1]] * 3) / 6
    features = np.maximum([windows.mean(axis=(2, 3)), (windows * edges).sum(axis=(2, 3))], 0)
    embedding = features.mean(axis=(1, 2))
    probabilities = softmax(np.array([[60, 0], [-60, 0], [0, 0]]) @ embedding + [-40, 20, 0])
    maps = [np.maximum(60 * features[0], 0), np.zeros(pixels.shape), np.zeros(pixels.shape)]
    return probabilities, embedding, np.array(maps)


def draw(folder: Path, count: int) -> list[tuple[Path, str]]:
    """`count` pictures whose class changes from one to the next, and the class of each."""
    folder.mkdir(exist_ok=True)
    labels = list(itertools.islice(itertools.cycle(sorted(GREYS)), count))
    paths = [folder / f"{number:03}.png" for number in range(count)]
    for number, (path, label) in enumerate(zip(paths, labels, strict=True)):
        path.write_bytes(png(grey(label, seed=number)))
    return list(zip(paths, labels, strict=True))


@pytest.mark.parametrize("label", CLASSES)
def test_outputs_are_those_of_the_network(predictor: Predictor, label: str) -> None:
    radiograph = Radiograph(grey(label, height=SIZE, width=SIZE))
    finding = predictor.predict(radiograph, class_maps=True)
    probabilities, embedding, maps = reference(radiograph.pixels)
    assert list(finding.probabilities) == list(CLASSES)
    np.testing.assert_allclose(list(finding.probabilities.values()), probabilities, atol=1e-5)
    np.testing.assert_allclose(finding.embedding, embedding, atol=1e-5)
    np.testing.assert_allclose(finding.class_maps, maps, atol=1e-4)
    assert finding.label == label
    assert finding.reasons == ()
    assert finding.model.sha256 == predictor.bundle.sha256


def test_every_kind_of_source_gives_one_answer(predictor: Predictor, tmp_path: Path) -> None:
    pixels = grey("covid", height=SIZE, width=SIZE)
    path = tmp_path / "a.png"
    path.write_bytes(png(pixels))
    with zipfile.ZipFile(tmp_path / "a.zip", "w") as archive:
        archive.writestr("in/a.png", png(pixels))
    (item,) = expand([tmp_path / "a.zip"], limits=Limits())
    sources = [path, str(path), path.read_bytes(), Radiograph(pixels), item, Item("name", path), dicom(pixels, bits=8)]
    findings = list(predictor.predict_many(sources))
    names = [str(path), str(path), "", "", f"{tmp_path}/a.zip/in/a.png", "name", ""]
    assert [finding.image for finding in findings] == names
    for source, finding in zip(sources, findings, strict=True):
        assert isinstance(finding, Finding)
        assert finding.probabilities == pytest.approx(predictor.predict(source).probabilities, abs=1e-6)
        assert finding.probabilities == pytest.approx(findings[0].probabilities, abs=1e-6)
        np.testing.assert_array_equal(predictor.read(source), pixels)


@pytest.mark.parametrize("batch", [1, 5, 16, 100])
@pytest.mark.parametrize("workers", [1, 4])
def test_each_image_gets_its_own_answer_in_order(
    predictor: Predictor, tmp_path: Path, batch: int, workers: int
) -> None:
    drawn = draw(tmp_path, 37)
    answers = list(predictor.predict_many([path for path, _ in drawn], batch=batch, workers=workers))
    assert [answer.image for answer in answers] == [str(path) for path, _ in drawn]
    assert [answer.label for answer in answers] == [label for _, label in drawn]


def test_files_that_cannot_be_read_fail_alone(predictor: Predictor, tmp_path: Path) -> None:
    drawn = draw(tmp_path, 20)
    (tmp_path / "000.png").write_bytes(b"")
    (tmp_path / "007.png").write_bytes(b"no image")
    (tmp_path / "008.png").unlink()
    (tmp_path / "019.png").write_bytes((tmp_path / "001.png").read_bytes()[:200])
    answers = list(predictor.predict_many([path for path, _ in drawn], batch=4))
    assert [answer.image for answer in answers] == [str(path) for path, _ in drawn]
    failed = {Path(a.image).name: a.code for a in answers if isinstance(a, Failure)}
    assert failed == {
        "000.png": "empty",
        "007.png": "not-an-image",
        "008.png": "unreadable-file",
        "019.png": "truncated",
    }
    for answer, (_, label) in zip(answers, drawn, strict=True):
        assert isinstance(answer, Failure) or answer.label == label


def test_what_was_wrong_with_a_file_is_said_in_its_answer(predictor: Predictor) -> None:
    mirrored = predictor.predict(dicom(grey("normal"), bits=8, PatientOrientation=["R", "F"]))
    assert (mirrored.label, mirrored.warnings) == ("normal", ("mirrored",))
    assert predictor.predict(dicom(grey("normal"), bits=8)).warnings == ()


def test_only_failures_are_answered_too(predictor: Predictor) -> None:
    answers = list(predictor.predict_many([b"", b"x", b""]))
    assert [answer.code for answer in answers if isinstance(answer, Failure)] == ["empty", "not-an-image", "empty"]


def test_one_unreadable_image_raises(predictor: Predictor) -> None:
    with pytest.raises(BadImage) as error:
        predictor.predict(b"no image")
    assert error.value.code == "not-an-image"


def test_nothing_in_nothing_out(predictor: Predictor) -> None:
    assert list(predictor.predict_many([])) == []


def test_an_endless_input_is_read_as_it_is_needed(predictor: Predictor) -> None:
    taken = itertools.count()
    last = 0

    def endless() -> Iterator[Radiograph]:
        nonlocal last
        for last in taken:
            yield Radiograph(grey("covid" if last % 2 else "normal"))

    answers = predictor.predict_many(endless(), batch=8)
    labels = [answer.label for answer in itertools.islice(answers, 50)]
    answers.close()  # type: ignore[attr-defined]
    assert labels == ["normal", "covid"] * 25
    assert last < 50 + 8 * 4


def test_who_stops_early_leaves_no_thread_behind(predictor: Predictor) -> None:
    before = threading.active_count()
    answers = predictor.predict_many(itertools.repeat(Radiograph(grey("virus"))))
    next(answers)
    assert threading.active_count() > before
    answers.close()  # type: ignore[attr-defined]
    assert threading.active_count() == before


def test_an_error_of_the_input_comes_out(predictor: Predictor) -> None:
    def broken() -> Iterator[bytes]:
        yield png(grey("covid"))
        raise OSError("the tape broke")

    with pytest.raises(OSError, match="tape"):
        list(predictor.predict_many(broken()))


def test_threads_share_a_predictor(predictor: Predictor, tmp_path: Path) -> None:
    drawn = draw(tmp_path, 12)
    barrier = threading.Barrier(6)

    def work(turn: int) -> list[str]:
        barrier.wait(30)
        paths = [path for path, _ in drawn[turn:] + drawn[:turn]]
        if turn % 2:
            return [predictor.predict(path).label for path in paths]
        return [answer.label for answer in predictor.predict_many(paths, batch=3, workers=2)]

    with ThreadPoolExecutor(6) as pool:
        for turn, labels in enumerate(pool.map(work, range(6))):
            assert labels == [label for _, label in drawn[turn:] + drawn[:turn]]


def test_the_classes_are_those_of_the_bundle_whatever_the_folders_are_called(tmp_path: Path) -> None:
    # Keras sorts folders; a bundle whose classes are in another order must not be shuffled by that.
    order = ["virus", "covid", "normal"]
    names = dict(zip(CLASSES, order, strict=True))
    folder = make_bundle(tmp_path / "bundle", classes=order)
    for label, name in names.items():
        finding = Predictor(folder, threads=1).predict(Radiograph(grey(label)))
        assert (finding.label, list(finding.probabilities)) == (name, order)


def test_temperature_of_the_bundle(tmp_path: Path) -> None:
    folder = make_bundle(tmp_path / "bundle", model=network(sharpness=0.2))
    radiograph = Radiograph(grey("virus"))
    raw = np.array(list(Predictor(folder, threads=1).predict(radiograph).probabilities.values()))
    record(folder, temperature=2.5)
    calibrated = list(Predictor(folder, threads=1).predict(radiograph).probabilities.values())
    np.testing.assert_allclose(calibrated, softmax(np.log(raw) / 2.5), atol=1e-6)
    assert max(calibrated) < max(raw)


@pytest.mark.parametrize("temperature", [0.5, 1.0, 3.0])
def test_calibrate_is_temperature_scaling_of_the_logits(temperature: float) -> None:
    logits = np.random.default_rng(0).normal(0, 8, (50, 3))
    calibrated = calibrate(softmax(logits, axis=1).astype(np.float32), temperature=temperature)
    assert calibrated.dtype == np.float32
    np.testing.assert_allclose(calibrated, softmax(logits / temperature, axis=1), atol=2e-6)
    np.testing.assert_allclose(calibrated.sum(axis=1), 1, atol=1e-6)


def test_calibrate_of_a_certain_answer_stays_finite() -> None:
    calibrated = calibrate(np.array([[1, 0, 0]], np.float32), temperature=2.0)
    assert np.isfinite(calibrated).all()
    assert calibrated[0, 0] > 0.99
    assert np.isfinite(log_softmax(calibrated)).all()


def test_a_network_without_finite_answers_cannot_say(tmp_path: Path) -> None:
    broken = make_bundle(tmp_path / "bundle", model=network(sharpness=float("nan")))
    finding = Predictor(broken, threads=1).predict(Radiograph(grey("covid")))
    assert finding.label == CANNOT_SAY
    assert finding.reasons


@pytest.mark.parametrize(
    "pixels",
    [
        np.zeros((1, SIZE, SIZE + 1), np.uint8),
        np.zeros((SIZE, SIZE), np.uint8),
        np.zeros((1, SIZE, SIZE), np.float32),
        np.zeros((1, SIZE, SIZE, 1), np.uint8),
    ],
    ids=["size", "no batch", "float", "channel"],
)
def test_run_refuses_what_would_be_silent_garbage(predictor: Predictor, pixels: np.ndarray) -> None:
    with pytest.raises(ValueError, match="must be N x"):
        predictor.run(pixels)


def test_a_loaded_bundle_serves_as_well(bundle: Path, predictor: Predictor) -> None:
    radiograph = Radiograph(grey("covid"))
    few = Predictor(load_bundle(bundle), threads=1, few=True)
    assert few.predict(radiograph).probabilities == predictor.predict(radiograph).probabilities
    assert few.engine.startswith("onnxruntime ")


def test_limits_are_obeyed(bundle: Path) -> None:
    small = Predictor(bundle, threads=1, limits=Limits(pixels=100))
    (failure,) = small.predict_many([png(grey("covid"))])
    assert isinstance(failure, Failure)
    assert failure.code == "too-many-pixels"


def test_memory_does_not_grow_with_the_number_of_images(bundle: Path) -> None:
    # 12 MB a picture: 40 of them at once would be 480 MB.
    program = """
import json, resource, sys
import numpy as np
from covid_xray.inference.predictor import Predictor
from covid_xray.images.radiograph import Radiograph
predictor = Predictor(sys.argv[1], threads=1)
peaks = []
for count in (24, 120):  # the first fill the queue
    many = (Radiograph(np.full((3000, 4000), i % 256, np.uint8)) for i in range(count))
    assert sum(1 for _ in predictor.predict_many(many, batch=4, workers=2)) == count
    peaks.append(resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024)
print(json.dumps(peaks))
"""
    command = [sys.executable, "-c", program, str(bundle)]
    few, many = json.loads(subprocess.run(command, capture_output=True, check=True, timeout=120).stdout)
    assert many < few + 60


def test_decoding_overlaps_the_network(predictor: Predictor, monkeypatch: pytest.MonkeyPatch) -> None:
    decoding, overlapped = threading.Event(), threading.Event()
    view, run = predictor.view, predictor.members[0].run

    def slow_view(source: object) -> View:
        decoding.set()
        time.sleep(0.005)
        decoding.clear()
        return view(source)  # type: ignore[arg-type]

    def watching_run(pixels: np.ndarray, **options: bool) -> dict[str, np.ndarray]:
        if decoding.wait(0.2):
            overlapped.set()
        return run(pixels, **options)

    monkeypatch.setattr(predictor, "view", slow_view)
    monkeypatch.setattr(predictor.members[0], "run", watching_run)
    list(predictor.predict_many([Radiograph(grey("covid"))] * 40, batch=4, workers=2))
    assert overlapped.is_set()


def test_operating_points_of_this_network_are_told_and_of_another_are_not(tmp_path: Path) -> None:
    folder = make_bundle(tmp_path / "b")
    image = png(grey("normal"))
    assert Predictor(folder).predict(image).operating_points is None
    sha256 = load_bundle(folder).sha256
    points = {"rule-out": {"threshold": 0.3}, "rule-in": {"threshold": None, "reason": "too few"}}
    record(folder, operating_points={"normal": {"sha256": sha256, "points": points}})
    assert Predictor(folder).predict(image).operating_points == {"normal": {"rule-out": True}}
    assert Predictor(folder).predict(png(grey("covid"))).operating_points == {"normal": {"rule-out": False}}
    record(folder, operating_points={"normal": {"sha256": "0" * 64, "points": points}})
    assert Predictor(folder).predict(image).operating_points is None


def test_the_gate_judges_the_lungs_of_the_image(predictor: Predictor, monkeypatch: pytest.MonkeyPatch) -> None:
    judged = []
    gate = SimpleNamespace(judge=lambda look, embedding, lungs=None: judged.append((look, lungs)) or {})
    monkeypatch.setattr(predictor.members[0], "gate", gate)
    lungs = SimpleNamespace(plausible=False)
    views = [View(np.zeros((SIZE, SIZE), np.uint8), lungs=lungs, look="a look")]
    list(predictor.answers(["a.png"], views))
    assert judged == [("a look", lungs)]
