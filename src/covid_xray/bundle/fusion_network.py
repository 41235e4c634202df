"""Hold the network for clinical values before it is opened: `fusion.onnx` and its facts.

Apart from `inference.fusion`, so that a bundle is loaded without the code for joint predictions.
"""

from dataclasses import dataclass

from covid_xray.bundle.contents import FusionFacts

FUSION_FILE = "fusion.onnx"
FUSION_VERSION = 1  # of the way from a record to the graph's input; raise it when a number changes


@dataclass(frozen=True, eq=False)
class FusionNetwork:
    """A fusion network that is not opened yet.

    Args:
        model: the bytes of `fusion.onnx`.
        facts: `fields` in the order of the graph's input, and the other facts under `fusion` in `bundle.json`.
    """

    model: bytes
    facts: FusionFacts
