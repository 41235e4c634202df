"""Classify with the network of one bundle: its input, its run, its calibration, its answer."""

import dataclasses
import json
from collections.abc import Mapping, Sequence

import numpy as np
from numpy.typing import NDArray

from covid_xray.bundle.bundle import Bundle
from covid_xray.images.appearance import appearance
from covid_xray.images.radiograph import Radiograph
from covid_xray.inference.finding import Finding, ModelIdentity, SiteCheck
from covid_xray.inference.gate import open_gate
from covid_xray.inference.gate_features import look
from covid_xray.inference.heatmap import placed
from covid_xray.inference.lung_facts import lung_facts
from covid_xray.inference.networks import tta as copies
from covid_xray.inference.networks.fastest import choose
from covid_xray.inference.site.decision import decide, site_reasons
from covid_xray.inference.site.site_file import Site
from covid_xray.inference.view import View, Viewer


class Network:
    """The opened network of one bundle. Thread-safe.

    Args:
        bundle: loaded in int8 or not.
        engine: as of `engines.open_engine`, or `auto` for the fastest (`networks.fastest`).
        precision, threads, few, shares: as of `engines.open_engine`.
        site: the hospital at which it answers; `None` where the bundle was not checked.
        require_site: answer "cannot say" where `site` is missing or its check has ended.
        tta: copies of every input (`inference.networks.tta`); `None` for those that the bundle was calibrated with.

    Raises:
        BadBundle, UsageError, MissingPackage, InputRefused: as of `predictor.Predictor`.
    """

    def __init__(
        self,
        bundle: Bundle,
        *,
        engine: str,
        precision: str,
        threads: int,
        few: bool,
        shares: bool,
        site: Site | None,
        require_site: bool,
        tta: int | None,
    ) -> None:
        self._site, self._require_site = site, require_site
        self._well = site.require_bundle(bundle) if site else 0
        self.calibrated_with = int(bundle.facts.get("tta", 1))
        self.tta = self.calibrated_with if tta is None else copies.check_copies(tta)
        bundle, chosen = choose(bundle, engine=engine, precision=precision, threads=threads)
        self.precision = chosen.precision
        self.engine = chosen.open(bundle, threads=threads, few=few, shares=shares)
        version = bundle.version if self.tta == self.calibrated_with else f"{bundle.version}, tta {self.tta}"
        self.bundle = dataclasses.replace(bundle, model=b"", version=version)  # the engine holds the network
        self.gate = open_gate(bundle.facts.get("gate"))
        self.viewer = Viewer(height=bundle.height, width=bundle.width, lungs=bundle.lungs, crop=bundle.crop)
        self.identity = ModelIdentity(bundle.name, version, bundle.sha256)

    @property
    def site(self) -> SiteCheck | None:
        """The hospital at which the bundle was checked, as answers of today name it; `None` where it was not."""
        return self._site.check() if self._site else None

    @property
    def preprocessing(self) -> str:
        """Name everything that `view` depends on: networks with equal names make equal views."""
        return json.dumps([self.viewer.identity, self.viewer.lungs_sha256, self.gate is not None], sort_keys=True)

    @property
    def caution(self) -> str:
        """A sentence where the bundle was calibrated with another number of copies than it answers with; else ""."""
        if self.tta == self.calibrated_with:
            return ""
        return (
            f"The temperature, sets and thresholds of {self.bundle.name} were fitted with --tta {self.calibrated_with} "
            f"and are used with --tta {self.tta}: they may not hold. Fit them by covid-xray calibrate RUN --tta "
            f"{self.tta}."
        )

    def view(self, film: Radiograph) -> View:
        """Make the network's input, its region, lungs and gate features of one radiograph."""
        made, shown = self.viewer.view(film), look(film) if self.gate else None
        return dataclasses.replace(made, appearance=appearance(film), look=shown, warnings=film.source.warnings)

    def run(self, pixels: NDArray[np.uint8], *, class_maps: bool = False) -> dict[str, NDArray[np.float32]]:
        """Compute the network's outputs for N x height x width grey values in 0..255.

        Returns:
            `probabilities` N x C float32, calibrated and as the site has them, rows sum to 1; `embedding` N x D
            float32; with `class_maps` also `class_maps` N x C x h x w float32, zero or more; and of a two-step network
            `known` N x 1 float32, the share of P(ill) for the illnesses that it knows.
        """
        result = self.run_uncalibrated(pixels, class_maps=class_maps)
        result["probabilities"] = calibrate(result["probabilities"], temperature=self.bundle.temperature)
        if self._site:
            moved = self._site.correction.apply(result["probabilities"], result["embedding"], well=self._well)
            result["probabilities"] = moved
        return result

    def run_uncalibrated(
        self, pixels: NDArray[np.uint8], *, class_maps: bool = False
    ) -> dict[str, NDArray[np.float32]]:
        """Compute the outputs as `run` does, with the probabilities before temperature scaling."""
        outputs = self.forward(pixels, class_maps=class_maps)
        return copies.averaged(self.engine, _batch(pixels), outputs, count=self.tta) if self.tta > 1 else outputs

    def forward(self, pixels: NDArray[np.uint8], *, class_maps: bool = False) -> dict[str, NDArray[np.float32]]:
        """Compute the bare outputs of the network: without copies and temperature scaling."""
        height, width = self.bundle.height, self.bundle.width
        if pixels.ndim != 3 or pixels.shape[1:] != (height, width) or pixels.dtype != np.uint8:
            shape = " x ".join(map(str, pixels.shape))
            raise ValueError(f"The input is {shape} {pixels.dtype}. It must be N x {height} x {width} uint8.")
        outputs = ["probabilities", "embedding"] + (["class_maps"] if class_maps else [])
        outputs += ["known"] if "known" in self.bundle.contents.outputs else []
        return self.engine.run(_batch(pixels), outputs)

    def answers(
        self, names: Sequence[str], views: Sequence[View] | NDArray[np.uint8], *, class_maps: bool = False
    ) -> list[Finding]:
        """Classify N images that `view` has read, in one run of the network.

        Bare inputs (N x height x width) serve as well, as of `Predictor.answers`.
        """
        if isinstance(views, np.ndarray):
            views = [View(one, look=look(Radiograph(one))) for one in views]
        pixels = np.stack([view.pixels for view in views])
        # Facts about the lungs need the class maps, which take next to no time.
        outputs = self.run(pixels, class_maps=class_maps or self.bundle.lungs is not None)
        rows = ({key: value[i] for key, value in outputs.items()} for i in range(len(names)))
        return [
            self._finding(name, row, view, class_maps=class_maps)
            for name, row, view in zip(names, rows, views, strict=True)
        ]

    def _finding(
        self, name: str, output: Mapping[str, NDArray[np.float32]], view: View, *, class_maps: bool
    ) -> Finding:
        verdicts = self.gate.judge(view.look, output["embedding"], view.lungs) if self.gate and view.look else None
        probabilities = dict(zip(self.bundle.classes, (float(p) for p in output["probabilities"]), strict=True))
        known = float(output["known"][0]) if "known" in output else None
        shown = output["class_maps"][output["probabilities"].argmax()] if self.bundle.lungs else None
        maps = placed(output["class_maps"], view.region) if class_maps else None
        site, reasons = self.site, site_reasons(self.site, required=self._require_site)
        return Finding(
            image=name,
            probabilities=probabilities,
            gate=verdicts,
            model=self.identity,
            class_maps=maps,
            embedding=output["embedding"],
            region=view.region,
            lungs=lung_facts(view, shown),
            known=known,
            site=site,
            appearance=view.appearance,
            warnings=view.warnings,
            **decide(probabilities, self.bundle.contents, gate=verdicts, known=known, lungs=view.lungs, site=reasons),
        )


def calibrate(probabilities: NDArray[np.float32], *, temperature: float) -> NDArray[np.float32]:
    """Apply temperature scaling (Guo and others 2017) to N x C softmax outputs: softmax(log p / T).

    A softmax is unchanged by a shift of its logits, so log p serves as well as the logits.
    """
    if temperature == 1.0:
        return probabilities
    logits = np.log(np.clip(probabilities, 1e-30, 1.0)) / temperature
    powers = np.exp(logits - logits.max(axis=1, keepdims=True))
    return (powers / powers.sum(axis=1, keepdims=True)).astype(np.float32)


def _batch(pixels: NDArray[np.uint8]) -> NDArray[np.float32]:
    return pixels[..., None].astype(np.float32)
