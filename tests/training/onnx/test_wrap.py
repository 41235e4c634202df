"""A classifier from elsewhere becomes a bundle that answers as its file does."""

from pathlib import Path

import numpy as np
import onnxruntime
import pytest

from covid_xray.bundle.bundle import load_bundle
from covid_xray.errors import InputRefused, UsageError
from covid_xray.inference import selftest
from covid_xray.inference.predictor import Predictor
from covid_xray.training.onnx.storage import ExportFailed
from covid_xray.training.onnx.wrap import Foreign, wrap
from support.foreign_networks import densenet

CLASSES = ("covid", "normal", "virus")
LAYER = "/features/Relu_output_0"


def pictures(size: int = 24) -> np.ndarray:
    return np.random.default_rng(1).integers(0, 256, (4, size, size)).astype(np.uint8)


def softmax(logits: np.ndarray) -> np.ndarray:
    powers = np.exp(logits - logits.max(axis=1, keepdims=True))
    return powers / powers.sum(axis=1, keepdims=True)


def test_it_answers_as_the_file_does(tmp_path: Path) -> None:
    path = densenet(tmp_path / "xrv.onnx", end="")
    wrapped = wrap(path, tmp_path / "bundle", Foreign(CLASSES, layer=LAYER, black=-1024, white=1024))
    predictor, x = Predictor(tmp_path / "bundle"), pictures()
    theirs = (x.astype(np.float32) / 255 * 2048 - 1024)[:, None]
    (logits,) = onnxruntime.InferenceSession(path).run(None, {"input": theirs})
    found = predictor.run(x, class_maps=True)
    np.testing.assert_allclose(found["probabilities"], softmax(logits), atol=1e-5)
    assert found["class_maps"].shape == (4, 3, 12, 12)
    assert found["embedding"].shape == (4, 14)
    assert wrapped.layer == load_bundle(tmp_path / "bundle").facts["wrapped"]["layer"] == LAYER
    assert wrapped.parity < 1e-5
    assert selftest.check(predictor).problems == ()


def test_class_maps_are_the_features_weighed_by_the_head(tmp_path: Path) -> None:
    wrap(densenet(tmp_path / "a.onnx", end=""), tmp_path / "bundle", Foreign(CLASSES))
    bundle = load_bundle(tmp_path / "bundle")
    import onnx

    proto = onnx.load_from_string(bundle.model)
    features = next(node.input[0] for node in proto.graph.node if node.op_type == "GlobalAveragePool")
    proto.graph.output.append(onnx.helper.make_empty_tensor_value_info(features))
    session = onnxruntime.InferenceSession(proto.SerializeToString())
    maps, values = session.run(["class_maps", features], {"image": pictures()[..., None].astype(np.float32)})
    kernel = next(t for t in proto.graph.initializer if list(t.dims) == [3, 14])
    weighed = np.einsum("nkhw,ck->nchw", values, onnx.numpy_helper.to_array(kernel))
    np.testing.assert_allclose(maps, np.maximum(weighed, 0), atol=1e-4)


@pytest.mark.parametrize("pooled", ["GlobalAveragePool", "ReduceMean"])
def test_three_channels_mean_and_deviation(tmp_path: Path, pooled: str) -> None:
    path = densenet(tmp_path / "a.onnx", channels=3, pooled=pooled, end="Softmax")
    mean, std = (0.485, 0.456, 0.406), (0.229, 0.224, 0.225)
    wrap(path, tmp_path / "bundle", Foreign(CLASSES, mean=mean, std=std))
    x = pictures()
    theirs = ((x[..., None] / 255 - np.array(mean)) / np.array(std)).transpose(0, 3, 1, 2).astype(np.float32)
    (expected,) = onnxruntime.InferenceSession(path).run(None, {"input": theirs})
    np.testing.assert_allclose(Predictor(tmp_path / "bundle").run(x)["probabilities"], expected, atol=1e-5)


def test_outputs_are_left_out_and_one_logit_makes_two_classes(tmp_path: Path) -> None:
    path = densenet(tmp_path / "many.onnx", outputs=5)
    wrap(path, tmp_path / "some", Foreign(("-", "virus", "-", "covid", "-")))
    assert Predictor(tmp_path / "some").classes == ("virus", "covid")
    one = densenet(tmp_path / "one.onnx", outputs=1)
    wrap(one, tmp_path / "two", Foreign(("normal", "covid")))
    x = pictures()
    (sigmoid,) = onnxruntime.InferenceSession(one).run(None, {"input": (x / 255).astype(np.float32)[:, None]})
    np.testing.assert_allclose(Predictor(tmp_path / "two").run(x)["probabilities"][:, 1:], sigmoid, atol=1e-5)


def test_a_size_that_the_file_leaves_open(tmp_path: Path) -> None:
    path = densenet(tmp_path / "a.onnx", size=None)
    with pytest.raises(UsageError, match="--size"):
        wrap(path, tmp_path / "bundle", Foreign(CLASSES))
    wrap(path, tmp_path / "bundle", Foreign(CLASSES, size=40))
    assert Predictor(tmp_path / "bundle").bundle.height == 40


def test_what_does_not_fit_is_refused_and_nothing_is_written(tmp_path: Path) -> None:
    path = densenet(tmp_path / "a.onnx")
    for about, kind, problem in (
        (Foreign(("a", "b")), UsageError, "3 outputs and --classes names 2"),
        (Foreign(("a", "-", "-")), UsageError, "Too few classes"),
        (Foreign(CLASSES, layer="conv0"), UsageError, "Give --layer /features/Relu_output_0"),
    ):
        with pytest.raises(kind, match=problem):
            wrap(path, tmp_path / "bundle", about)
    (tmp_path / "text.onnx").write_text("no network")
    with pytest.raises(InputRefused, match="Not an ONNX file"):
        wrap(tmp_path / "text.onnx", tmp_path / "bundle", Foreign(CLASSES))
    with pytest.raises(InputRefused, match="no global average pooling"):
        wrap(densenet(tmp_path / "b.onnx", pooled="GlobalMaxPool"), tmp_path / "bundle", Foreign(CLASSES))
    assert not (tmp_path / "bundle").exists()


def test_a_graph_for_one_image_at_a_time_is_refused(tmp_path: Path) -> None:
    import onnx

    path = densenet(tmp_path / "a.onnx", batch=1)
    proto = onnx.load(path)
    flat = next(node for node in proto.graph.node if node.op_type == "Flatten")
    proto.graph.initializer.append(onnx.numpy_helper.from_array(np.array([1, 14], np.int64), "fixed"))
    flat.op_type, flat.input[:] = "Reshape", [flat.input[0], "fixed"]
    path.write_bytes(proto.SerializeToString())
    with pytest.raises(ExportFailed, match="free batch axis"):
        wrap(path, tmp_path / "bundle", Foreign(CLASSES))
