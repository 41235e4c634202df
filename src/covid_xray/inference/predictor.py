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
from covid_xray.images.radiograph import Radiograph
from covid_xray.inference.finding import Failure, Finding, SiteCheck
from covid_xray.inference.gate_features import look
from covid_xray.inference.io.inputs import Item, Source, open_source, sources_of
from covid_xray.inference.io.read_ahead import chunks, read_ahead
from covid_xray.inference.networks import ensemble
from covid_xray.inference.networks.network import Network
from covid_xray.inference.site.decision import site_reasons
from covid_xray.inference.site.site_file import Site, read_site
from covid_xray.inference.view import View
from covid_xray.limits import Limits

if TYPE_CHECKING:
    import pandas as pd

    from covid_xray.inference.fusion import Fusion

BATCH = 16
BundleLike = str | os.PathLike[str] | Bundle


class Predictor:
    """Classify images with a bundle, or with several at once. Thread-safe: threads may share one predictor.

    Args:
        bundle: folder of a bundle or run, a loaded `Bundle`, or `None` for the one that ships with the package; several
            of them in a list answer together (`inference.networks.ensemble`).
        threads: threads of the network; 0 for one on each core.
        limits: for reading files.
        engine: of `engines.open_engine`, or `auto` for the fastest (`networks.fastest`).
        precision: of the same; a loaded bundle is in int8 or not already.
        few: for only a few images: start sooner, each may take a little longer.
        untrusted: decode in child processes with time and memory limits, for files from unknown senders.
        shares: as in `engines.open_engine`; `False` where nothing but the network runs.
        site: site file of the hospital at which it answers, or its folder; `None` where the bundle was not checked.
        require_site: answer "cannot say" where `site` is missing or its check has ended.
        tta: copies of every input whose probabilities are averaged (`networks.tta`); 1 for none, `None` for those that
            the bundle was calibrated with.

    Examples:
        >>> from covid_xray import Predictor
        >>> finding = Predictor("runs/first").predict("chest.png")
        >>> list(finding.probabilities), finding.label in (*finding.probabilities, "cannot say")
        (['covid', 'normal', 'virus'], True)
        >>> min(finding.spread["covid"] for finding in Predictor(["runs/a", "runs/b"]).predict_many("new")) >= 0
        True

    Raises:
        BadBundle: the bundle is missing, altered, or not one that the engine can open.
        UsageError: an engine or precision that does not exist, or not together; bundles of other classes, or one
            twice; several bundles and a site file.
        MissingPackage: the engine is not installed.
        InputRefused: the site file is missing, changed, or of another bundle (`other-bundle`).
    """

    def __init__(
        self,
        bundle: BundleLike | Sequence[BundleLike] | None = None,
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
        tta: int | None = None,
    ) -> None:
        bundles = load_bundles(bundle, int8=precision == "int8")
        hospital = open_site(bundles, site)  # what does not go together is refused before a network is opened
        self._require_site = require_site
        self.limits = limits or Limits()
        self.untrusted = untrusted
        self.members = tuple(
            Network(
                one, engine=engine, precision=precision, threads=threads, few=few, shares=shares, tta=tta,
                site=hospital, require_site=require_site,
            )
            for one in bundles
        )  # fmt: skip
        first = self.members[0]
        self.precision, self.gate, self.viewer, self.tta = first.precision, first.gate, first.viewer, first.tta
        opened = [member.bundle for member in self.members]
        self.bundle, self.identity = ensemble.bundle_of(opened), ensemble.identity_of(opened)

    @property
    def engine(self) -> str:
        """Return name and version of the engine, such as `onnxruntime 1.22.0`."""
        return self.members[0].engine.version

    @property
    def classes(self) -> tuple[str, ...]:
        """Return the class names in the order of every probability vector and class map."""
        return self.bundle.classes

    @property
    def site(self) -> SiteCheck | None:
        """The hospital at which the bundle was checked, as answers of today name it; `None` where it was not."""
        return self.members[0].site

    @property
    def caution(self) -> str:
        """Say that what a bundle was calibrated with is not how it answers (`tta`); "" where it is."""
        return " ".join(filter(None, (member.caution for member in self.members)))

    def read(self, source: Source) -> NDArray[np.uint8]:
        """Make the (first) network's input of one image: height x width uint8, 0..255. Raises `BadImage`."""
        return self.viewer.view(open_source(source, limits=self.limits, untrusted=self.untrusted)).pixels

    def view(self, source: Source) -> View:
        """Read one image for `answers`: the network's input, its region, lungs, gate features. Raises `BadImage`."""
        film = open_source(source, limits=self.limits, untrusted=self.untrusted)
        made: dict[str, View] = {}
        for member in self.members:  # those whose inputs are made alike share them
            if member.preprocessing not in made:
                made[member.preprocessing] = member.view(film)
        first, *others = (made[member.preprocessing] for member in self.members)
        return dataclasses.replace(first, others=tuple(others)) if others else first

    def run(self, pixels: NDArray[np.uint8], *, class_maps: bool = False) -> dict[str, NDArray[np.float32]]:
        """Compute the outputs of the one network, as `Network.run` does. Raises `UsageError` for an ensemble."""
        return self._only.run(pixels, class_maps=class_maps)

    def run_uncalibrated(
        self, pixels: NDArray[np.uint8], *, class_maps: bool = False
    ) -> dict[str, NDArray[np.float32]]:
        """Compute the outputs as `run` does, with the probabilities before temperature scaling."""
        return self._only.run_uncalibrated(pixels, class_maps=class_maps)

    def forward(self, pixels: NDArray[np.uint8], *, class_maps: bool = False) -> dict[str, NDArray[np.float32]]:
        """Compute the bare outputs as `run` does: without copies (`tta`) and temperature scaling."""
        return self._only.forward(pixels, class_maps=class_maps)

    @property
    def _only(self) -> Network:
        if len(self.members) > 1:
            raise UsageError("Several bundles have no outputs in common. Give one of them.")
        return self.members[0]

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

        if len(self.members) > 1:
            raise UsageError("Clinical values are used with one bundle, and several were given. Give one of them.")
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
        """Classify N images that `view` has read, in one run of the network (of each, for an ensemble).

        For callers that read and predict in different places, such as a server with many readers. Bare inputs of `read`
        (N x height x width) serve as well, but without their place in the radiograph, lungs, and the shape and tags of
        the file: the gate judges the inputs themselves.
        """
        if isinstance(views, np.ndarray):
            views = [View(one, look=look(Radiograph(one))) for one in views]
        first = self.members[0].answers(names, views, class_maps=class_maps)
        if len(self.members) == 1:
            return first
        others = [
            member.answers(names, [one.others[number] if one.others else one for one in views], class_maps=class_maps)
            for number, member in enumerate(self.members[1:])
        ]
        return [ensemble.combine(row, model=self.identity) for row in zip(first, *others, strict=True)]

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


def load_bundles(given: BundleLike | Sequence[BundleLike] | None, *, int8: bool) -> list[Bundle]:
    """Load one bundle or several, as of `Predictor`. Raises `BadBundle`."""
    if given is None or isinstance(given, str | os.PathLike | Bundle):
        return [given if isinstance(given, Bundle) else load_bundle(given, int8=int8)]
    return [bundle for one in given for bundle in load_bundles(one, int8=int8)] or load_bundles(None, int8=int8)


def open_site(bundles: Sequence[Bundle], site: Site | Path | None) -> Site | None:
    """Read the site file and check that it goes with the bundles, and they with each other.

    Raises:
        UsageError: several bundles, of which a site file never is, or which differ in their classes.
        InputRefused: as of `Site.require_bundle` and `read_site`.
    """
    ensemble.bundle_of(bundles)
    if site is not None and len(bundles) > 1:
        raise UsageError(
            f"A site file holds for the one bundle that was checked, and {len(bundles)} were given. Give that one "
            "alone, or leave the site file out."
        )
    found = read_site(site) if isinstance(site, Path) else site
    if found:
        found.require_bundle(bundles[0])
    return found


def _name(source: Source) -> str:
    if isinstance(source, Item):
        return source.name
    return os.fspath(source) if isinstance(source, str | os.PathLike) else ""
