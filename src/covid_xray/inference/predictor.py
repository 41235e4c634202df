"""Classify images with a bundle's network.

Images are decoded in threads ahead of the network; only a few batches exist at a time, however many images there are.
"""

import dataclasses
import os
from collections.abc import Iterable, Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from functools import cached_property, partial
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from covid_xray.bundle.bundle import Bundle, load_bundle
from covid_xray.errors import BadImage, UsageError
from covid_xray.images.appearance import appearance
from covid_xray.images.radiograph import Radiograph
from covid_xray.inference.engines import open_engine
from covid_xray.inference.finding import Failure, Finding, ModelIdentity, SiteCheck
from covid_xray.inference.gate import open_gate
from covid_xray.inference.gate_features import look
from covid_xray.inference.heatmap import placed
from covid_xray.inference.io.inputs import Item, Source, open_source, sources_of
from covid_xray.inference.io.read_ahead import chunks, read_ahead
from covid_xray.inference.lung_facts import lung_facts
from covid_xray.inference.site.decision import decide, site_reasons
from covid_xray.inference.site.site_file import Site, read_site
from covid_xray.inference.view import View, Viewer
from covid_xray.limits import Limits

if TYPE_CHECKING:
    import pandas as pd

    from covid_xray.inference.fusion import Fusion

BATCH = 16


class Predictor:
    """Classify images with one bundle. Thread-safe: threads may share one predictor.

    Args:
        bundle: folder of a bundle or run, a loaded `Bundle`, or `None` for the one that ships with the package.
        threads: threads of the network; 0 for one on each core.
        limits: for reading files.
        engine: of `engines.open_engine`.
        precision: of the same; a loaded bundle is in int8 or not already.
        few: for only a few images: start sooner, each may take a little longer.
        untrusted: decode in child processes with time and memory limits, for files from unknown senders.
        shares: as in `engines.open_engine`; `False` where nothing but the network runs.
        site: site file of the hospital at which it answers, or its folder; `None` where the bundle was not checked.
        require_site: answer "cannot say" where `site` is missing or its check has ended.

    Example:
        >>> predictor = Predictor("runs/x/bundle")
        >>> finding = predictor.predict("chest.png")
        >>> finding.label, finding.probabilities["covid"]
        ('normal', 0.03)

    Raises:
        BadBundle: the bundle is missing, altered, or not one that the engine can open.
        UsageError: an engine or precision that does not exist, or not together.
        MissingPackage: the engine is not installed.
        InputRefused: the site file is missing, changed, or of another bundle (`other-bundle`).
    """

    def __init__(
        self,
        bundle: str | os.PathLike[str] | Bundle | None = None,
        *,
        threads: int = 0,
        limits: Limits | None = None,
        engine: str = "onnxruntime",
        precision: str = "float32",
        few: bool = False,
        untrusted: bool = False,
        shares: bool = True,
        site: Site | Path | None = None,
        require_site: bool = False,
    ) -> None:
        loaded = bundle if isinstance(bundle, Bundle) else load_bundle(bundle, int8=precision == "int8")
        self._site = read_site(site) if isinstance(site, Path) else site
        self._well = self._site.require_bundle(loaded) if self._site else 0
        self._require_site = require_site
        self.precision = "int8" if loaded.int8 else precision
        self._engine = open_engine(
            loaded, engine=engine, precision=self.precision, threads=threads, few=few, shares=shares
        )
        self.bundle = dataclasses.replace(loaded, model=b"")  # the engine holds the network
        self.limits = limits or Limits()
        self.untrusted = untrusted
        self.gate = open_gate(self.bundle.facts.get("gate"))
        self.viewer = Viewer(height=loaded.height, width=loaded.width, lungs=loaded.lungs, crop=loaded.crop)
        self.identity = ModelIdentity(loaded.name, loaded.version, loaded.sha256)

    @property
    def engine(self) -> str:
        """Return name and version of the engine, such as `onnxruntime 1.22.0`."""
        return self._engine.version

    @property
    def classes(self) -> tuple[str, ...]:
        """Return the class names in the order of every probability vector and class map."""
        return self.bundle.classes

    @property
    def site(self) -> SiteCheck | None:
        """The hospital at which the bundle was checked, as answers of today name it; `None` where it was not."""
        return self._site.check() if self._site else None

    def read(self, source: Source) -> NDArray[np.uint8]:
        """Make the network's input of one image: height x width uint8, 0..255. Raises `BadImage`."""
        return self.viewer.view(open_source(source, limits=self.limits, untrusted=self.untrusted)).pixels

    def view(self, source: Source) -> View:
        """Read one image for `answers`: the network's input, its region, lungs, gate features. Raises `BadImage`."""
        film = open_source(source, limits=self.limits, untrusted=self.untrusted)
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
        height, width = self.bundle.height, self.bundle.width
        if pixels.ndim != 3 or pixels.shape[1:] != (height, width) or pixels.dtype != np.uint8:
            shape = " x ".join(map(str, pixels.shape))
            raise ValueError(f"The input is {shape} {pixels.dtype}. It must be N x {height} x {width} uint8.")
        outputs = ["probabilities", "embedding"] + (["class_maps"] if class_maps else [])
        outputs += ["known"] if "known" in self.bundle.contents.outputs else []
        return self._engine.run(pixels[..., None].astype(np.float32), outputs)

    def predict(
        self, source: Source, *, class_maps: bool = False, clinical: Mapping[str, float] | None = None
    ) -> Finding:
        """Classify one image: a path, bytes, an array, a Pillow image, an open file or a `Radiograph`.

        See `join` for `clinical`.

        Raises:
            BadImage: the file is not a readable image (`images.decode`) within the limits.
            UsageError: clinical values, and the bundle has no input for them.
        """
        finding = self.answers([_name(source)], [self.view(source)], class_maps=class_maps)[0]
        finding = self._drawable(finding, source)
        return self.join(finding, clinical) if clinical else finding

    def join(self, finding: Finding, clinical: Mapping[str, float]) -> Finding:
        """Return the finding with its `joint` prediction; that from the image alone stays in it unchanged.

        Args:
            finding: of this predictor.
            clinical: clinical values of `covid_xray.clinical.record`; any subset of the fields.

        Raises:
            UsageError: the bundle has no clinical input, or a field does not exist.
        """
        reasons = site_reasons(finding.site, required=self._require_site)
        return self.fusion.join(finding, clinical, site=reasons)

    @cached_property
    def fusion(self) -> "Fusion":
        """Open the fusion network when it is first used. Raises `UsageError` where the bundle has none."""
        from covid_xray.inference.fusion import Fusion

        if self.bundle.fusion is None:
            raise UsageError(
                "This bundle has no clinical input, so clinical values cannot be used. Leave them out, or add one with "
                "`covid-xray fuse BUNDLE --data TABLE`."
            )
        return Fusion(self.bundle.fusion, classes=self.classes)

    def predict_many(
        self,
        sources: "Iterable[Source] | str | os.PathLike[str] | pd.DataFrame",
        *,
        class_maps: bool = False,
        batch: int = BATCH,
        workers: int = 0,
    ) -> Iterator[Finding | Failure]:
        """Classify a stream of images, one result each, in order; a file that cannot be read becomes a `Failure`.

        Args:
            sources: any iterable of what `predict` takes, read as it is needed; or a folder, a glob, a zip archive, or
                a DataFrame with a column `image`.
            class_maps: also return the heat maps.
            batch: images in one run of the network.
            workers: decoding threads; 0 for one on each core.
        """
        found = sources_of(sources, limits=self.limits)
        pool = ThreadPoolExecutor(workers or os.cpu_count() or 1, thread_name_prefix="decode")
        try:
            for chunk in chunks(read_ahead(pool, self._try, found, depth=2 * batch), batch):
                yield from self._answers(chunk, class_maps=class_maps)
        finally:  # a caller that stops early does not wait for the images that were read ahead
            pool.shutdown(wait=True, cancel_futures=True)

    def answers(
        self, names: Sequence[str], views: Sequence[View] | NDArray[np.uint8], *, class_maps: bool = False
    ) -> list[Finding]:
        """Classify N images that `view` has read, in one run of the network.

        For callers that read and predict in different places, such as a server with many readers. Bare inputs of `read`
        (N x height x width) serve as well, but without their place in the radiograph, lungs, and the shape and tags of
        the file: the gate judges the inputs themselves.
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

    def _try(self, source: Source) -> tuple[Source, View | Failure]:
        try:
            return source, self.view(source)
        except BadImage as error:
            return source, Failure(_name(source), error.code, error.message)

    def _drawable(self, finding: Finding, source: Source) -> Finding:
        """Return the finding with what draws its heat map, where it has one."""
        if finding.class_maps is None:
            return finding
        from covid_xray.inference.heatmap_files import draw_heatmap

        return dataclasses.replace(finding, draw=partial(draw_heatmap, source=source, limits=self.limits))

    def _answers(self, chunk: list[tuple[Source, View | Failure]], *, class_maps: bool) -> Iterator[Finding | Failure]:
        readable = [(_name(source), item) for source, item in chunk if not isinstance(item, Failure)]
        findings: Iterator[Finding] = iter(())
        if readable:
            names, views = zip(*readable, strict=True)
            findings = iter(self.answers(names, views, class_maps=class_maps))
        for source, item in chunk:
            yield item if isinstance(item, Failure) else self._drawable(next(findings), source)

    def _finding(
        self, name: str, output: Mapping[str, NDArray[np.float32]], view: View, *, class_maps: bool
    ) -> Finding:
        verdicts = self.gate.judge(view.look, output["embedding"], view.lungs) if self.gate and view.look else None
        probabilities = dict(zip(self.classes, (float(p) for p in output["probabilities"]), strict=True))
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


def _name(source: Source) -> str:
    if isinstance(source, Item):
        return source.name
    return os.fspath(source) if isinstance(source, str | os.PathLike) else ""
