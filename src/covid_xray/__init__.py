"""Classify chest X-rays as COVID-19, normal or viral pneumonia. For research, never for diagnosis.

    from covid_xray import Predictor

    predictor = Predictor("runs/x/bundle")
    for finding in predictor.predict_many(["a.png", "b.dcm"]):
        print(finding.image, finding.label, finding.probabilities)

From a folder of class folders, a CSV or a DataFrame to a bundle and a report:

    from covid_xray import evaluate, read, train

    data = read("scans")
    run = train(data, output="runs/x", epochs=12)
    report = evaluate(run, data)

Everything is imported on first use, so that `covid-xray --help` starts at once.
"""

import os
import sys
from typing import TYPE_CHECKING, Any

# Nothing leaves the machine: since 1.29 ONNX Runtime reports every session to its maker unless this is set before it
# is loaded. When it was loaded before, what can still be switched off is.
os.environ.setdefault("ORT_DISABLE_TELEMETRY", "1")
if "onnxruntime" in sys.modules:
    sys.modules["onnxruntime"].disable_telemetry_events()

if TYPE_CHECKING:
    from covid_xray.api.classifier import CXRClassifier
    from covid_xray.api.frames import to_frame
    from covid_xray.api.rates import find_learning_rate
    from covid_xray.api.workflow import audit, evaluate, read, split, train
    from covid_xray.bundle.bundle import load_bundle
    from covid_xray.images.decode import read_image
    from covid_xray.images.radiograph import Radiograph
    from covid_xray.inference.predictor import Predictor

__version__ = "0.2.0"
__all__ = [
    "CXRClassifier",
    "Predictor",
    "Radiograph",
    "__version__",
    "audit",
    "evaluate",
    "find_learning_rate",
    "load_bundle",
    "read",
    "read_image",
    "split",
    "to_frame",
    "train",
]

_HOMES = {
    "CXRClassifier": "covid_xray.api.classifier",
    "find_learning_rate": "covid_xray.api.rates",
    "Predictor": "covid_xray.inference.predictor",
    "Radiograph": "covid_xray.images.radiograph",
    "load_bundle": "covid_xray.bundle.bundle",
    "read_image": "covid_xray.images.decode",
    "to_frame": "covid_xray.api.frames",
    **dict.fromkeys(("audit", "evaluate", "read", "split", "train"), "covid_xray.api.workflow"),
}


def __getattr__(name: str) -> Any:
    if name not in _HOMES:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    import importlib

    value = getattr(importlib.import_module(_HOMES[name]), name)
    globals()[name] = value
    return value


def __dir__() -> list[str]:
    return sorted({*globals(), *__all__})
