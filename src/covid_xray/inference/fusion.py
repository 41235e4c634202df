"""Combine the prediction for an image with clinical values, by the bundle's `fusion.onnx`.

Its graph maps `probabilities` (N x C, calibrated), `embedding` (N x D) and `clinical` (N x F in the units that
`bundle.json` names, NaN where absent) to `joint_probabilities` (N x C) and `terms` (N x F x C, the addition of each
field to the logits). The prediction from the image alone never changes; the joint one stands beside it.
"""

import dataclasses
from collections.abc import Mapping

import numpy as np
from numpy.typing import NDArray

from covid_xray import clinical
from covid_xray.bundle.fusion_network import FUSION_FILE, FusionNetwork
from covid_xray.errors import BadBundle, UsageError
from covid_xray.inference.finding import CANNOT_SAY, Finding, Joint
from covid_xray.inference.gate import reasons as objections
from covid_xray.inference.prediction_sets import prediction_set, undecided
from covid_xray.inference.shapley import exact

INPUTS = ("probabilities", "embedding", "clinical")
OUTPUTS = ("joint_probabilities", "terms")
LEAST = 1e-7  # smaller probabilities of the image are raised to it, as in the graph


class Fusion:
    """Predict from image and clinical values. Thread-safe.

    Args:
        network: of a bundle.
        classes: of the bundle.

    Raises:
        BadBundle: the graph cannot be opened, or is not one from these fields to these classes.
    """

    def __init__(self, network: FusionNetwork, *, classes: tuple[str, ...]) -> None:
        import onnxruntime

        self.classes = classes
        self.fields = tuple(field.name for field in network.facts.fields)
        self.unused = {f.name: f.reason for f in network.facts.fields if not f.used}
        self.influences = {f.name: f.classes for f in network.facts.fields if f.used}
        self.conformal = network.facts.conformal
        options = onnxruntime.SessionOptions()
        options.intra_op_num_threads, options.log_severity_level = 1, 4  # a few thousand multiplications
        try:
            self._session = onnxruntime.InferenceSession(network.model, options, providers=["CPUExecutionProvider"])
        except Exception:
            raise BadBundle(
                f"ONNX Runtime cannot open {FUSION_FILE} of the bundle. Make it again with covid-xray fuse.",
                code="format",
            ) from None
        self._check_graph()

    def run(
        self, probabilities: NDArray[np.float32], embedding: NDArray[np.float32], values: NDArray[np.float32]
    ) -> tuple[NDArray[np.float32], NDArray[np.float32]]:
        """Compute N x C joint probabilities and N x F x C terms of N x C, N x D and N x F in the order of `fields`."""
        joint, terms = self._session.run(
            list(OUTPUTS), dict(zip(INPUTS, (probabilities, embedding, values), strict=True))
        )
        # Without any usable value the probabilities of the image stay as they are, to the last bit.
        changed = np.abs(terms).max(axis=(1, 2), initial=0.0) > 0
        return np.where(changed[:, None], joint, probabilities).astype(np.float32), terms

    def join(self, finding: Finding, known: Mapping[str, float], *, site: tuple[str, ...] = ()) -> Finding:
        """Return the finding with its `joint` prediction.

        Args:
            finding: of the same bundle, with its embedding.
            known: clinical values of `clinical.record`.
            site: reasons of `site.decision.site_reasons`.

        Raises:
            UsageError: a field that does not exist.
        """
        unknown = [name for name in known if name not in clinical.BY_NAME]
        if unknown:
            raise UsageError(f"No such clinical field: {unknown[0]}. The fields are {', '.join(self.fields)}.")
        if finding.embedding is None:
            raise ValueError("The finding has no embedding. Make it with a Predictor.")
        image = np.array([list(finding.probabilities.values())], np.float32)
        joint, terms = self.run(image, finding.embedding[None], self.vector(known))
        answer = self._answer(finding, joint[0], terms[0], known, site)
        return dataclasses.replace(finding, joint=answer)

    def vector(self, known: Mapping[str, float]) -> NDArray[np.float32]:
        """Arrange the values of a record in the order of `fields`, 1 x F, NaN where absent."""
        return np.array([[known.get(name, np.nan) for name in self.fields]], np.float32)

    def _answer(
        self,
        finding: Finding,
        joint: NDArray[np.float32],
        terms: NDArray[np.float32],
        known: Mapping[str, float],
        site: tuple[str, ...],
    ) -> Joint:
        probabilities = dict(zip(self.classes, (float(p) for p in joint), strict=True))
        finite = bool(np.isfinite(joint).all())
        kept = prediction_set(probabilities, self.conformal) if finite else None
        reasons = (*site, *objections(finding.gate), *undecided(kept, finite=finite))
        used = [name for name in known if name not in self.unused]
        image = np.log(np.maximum(list(finding.probabilities.values()), LEAST))
        return Joint(
            probabilities=probabilities,
            label=CANNOT_SAY if reasons else max(probabilities, key=probabilities.__getitem__),
            reasons=reasons,
            prediction_set=kept,
            known=dict(known),
            unused={name: self.unused[name] for name in known if name in self.unused},
            contributions=exact(image, {name: terms[self.fields.index(name)] for name in used}, self.classes),
            remarks=(*clinical.remarks(known), *self._silent(probabilities, used)),
        )

    def _silent(self, probabilities: Mapping[str, float], used: list[str]) -> tuple[str, ...]:
        """Name the used fields that have no influence on the most probable class."""
        top = max(probabilities, key=probabilities.__getitem__)
        silent = [clinical.BY_NAME[name].title for name in used if top not in self.influences[name]]
        return (f"training states {' and '.join(silent)} of too few patients of {top}",) if silent else ()

    def _check_graph(self) -> None:
        session = self._session
        inputs = {tensor.name: tensor.shape[1:] for tensor in session.get_inputs()}
        outputs = {tensor.name: tensor.shape[1:] for tensor in session.get_outputs()}
        fields, classes = len(self.fields), len(self.classes)
        if (
            set(inputs) != set(INPUTS)
            or set(outputs) != set(OUTPUTS)
            or [inputs["clinical"], inputs["probabilities"]] != [[fields], [classes]]
            or outputs["joint_probabilities"] != [classes]
        ):
            raise BadBundle(
                f"{FUSION_FILE} does not fit the bundle: it maps {inputs} to {outputs}, not {fields} fields to "
                f"{classes} classes. Make it again with covid-xray fuse.",
                code="format",
            )
