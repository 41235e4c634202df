"""Answer the checklist items on data, training and sharing from metrics.json and bundle.json.

Each check returns a verdict and its evidence. `templates/checklists.csv` names the check of each item.
"""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from covid_xray.evaluation.metrics.subgroups import SMALLEST
from covid_xray.evaluation.report.sections import Facts, counts, thousands

PASS, FAIL, TODO = "PASS", "FAIL", "TODO"
NO_SETTINGS = "the bundle holds no settings of its training"
NO_SPLIT = "no split.csv beside the bundle: evaluate the run folder"
Verdict = tuple[str, str]


@dataclass(frozen=True)
class Known:
    """The files that the checks read."""

    m: Facts  # content of metrics.json
    facts: Facts  # content of bundle.json

    @property
    def run(self) -> Facts:
        """The files of the run beside the bundle."""
        return self.m.get("run") or {}

    @property
    def parts(self) -> Facts:
        """The parts of the split; empty where unknown."""
        return self.run.get("parts") or {}

    @property
    def packages(self) -> Facts:
        """Package versions of the training."""
        return (self.run.get("made") or {}).get("packages") or {}

    @property
    def trained(self) -> Facts:
        """The training data as the bundle describes them."""
        return self.facts.get("training_data") or {}

    @property
    def settings(self) -> Facts:
        """The settings of the training."""
        return (self.facts.get("training") or {}).get("settings") or {}


Check = Callable[[Known], Verdict]


def either(found: Any, passed: str, missing: str, *, otherwise: str = TODO) -> Verdict:
    """Return PASS with its evidence where something is found, else what is missing."""
    return (PASS, passed) if found else (otherwise, missing)


def listed(values: Facts) -> str:
    """Format as `numpy 2.1, onnx 1.17`."""
    return ", ".join(f"{name} {value}" for name, value in values.items())


def kind_of_model(k: Known) -> Verdict:
    """Check that network, classes and input are stated."""
    size = k.facts.get("input") or {}
    shape = f", input {size['height']} x {size['width']}" if "height" in size else ""
    return PASS, f"network {k.m['model']['name']} {k.m['model']['version']}, classes {', '.join(k.m['classes'])}{shape}"


def sources(k: Known) -> Verdict:
    """Check that the sources of the images are recorded."""
    found = k.trained.get("source") or {}
    named = ", ".join(f"{name or 'not stated'} ({thousands(n)})" for name, n in found.items())
    return either(found, f"trained on {named}", "the table of the data has no column source", otherwise=FAIL)


def licences(k: Known) -> Verdict:
    """Check that every training image states its licence."""
    found = k.trained.get("license") or {}
    total, unknown = sum(found.values()), sum(n for name, n in found.items() if name in ("", "not stated"))
    if unknown:
        return FAIL, f"{thousands(unknown)} of {thousands(total)} training images state no licence"
    stated = f"all {thousands(total)} training images state one: {', '.join(found)}"
    return either(found, stated, "the table of the data has no column license")


def excluded(k: Known) -> Verdict:
    """Check that exclusions are listed with reasons."""
    refused, failed = thousands(len(k.m["quarantined"])), thousands(len(k.m["failures"]))
    files = f"{refused} files refused and {failed} without a score, each with its reason"
    return TODO, f"{files}; say which people were imaged, and who was left out"


def flow(k: Known) -> Verdict:
    """Check that the number of images in each part is known."""
    parts = "; ".join(f"{name} {thousands(p['images'])} images ({counts(p['labels'])})" for name, p in k.parts.items())
    return either(k.parts, parts, NO_SPLIT)


def preprocessing(k: Known) -> Verdict:
    """Check that the bundle describes the preprocessing."""
    size = k.facts.get("input") or {}
    steps = f"in the bundle: grey, {size.get('resize', 'resized')}, to {size.get('height')} x {size.get('width')}"
    return either(size, steps, "the bundle says nothing of its input")


def missing_data(k: Known) -> Verdict:
    """Check that missing values and files are counted."""
    absent = {a["title"]: thousands(a["not_stated"]) for a in k.m["subgroups"]["attributes"].values()}
    total = thousands(k.m["n_images"])
    return PASS, f"images without a score are listed; not stated among {total} images: {listed(absent)}"


def disjoint(k: Known) -> Verdict:
    """Check that no patient and no radiograph is in two parts."""
    shared = k.run.get("overlaps")
    if not k.parts or shared is None:
        return TODO, "the split is not known for all images: evaluate the run folder with the data it was split from"
    if shared:
        return FAIL, " ".join(shared)
    images, unnamed = (sum(p[key] for p in k.parts.values()) for key in ("images", "unnamed"))
    if unnamed == images:
        return FAIL, "no image names its patient, so patients may be in two parts; files and copies are not"
    held = f"no patient, file or picture in two parts of split.csv ({thousands(images)} images)"
    return PASS, held + (f"; {thousands(unnamed)} name no patient and were kept apart by file only" if unnamed else "")


def assigned(k: Known) -> Verdict:
    """Check that the assignment of images to parts is recorded."""
    s = k.settings
    total = sum(p["images"] for p in k.parts.values())
    shares = ", ".join(f"{name} {p['images'] / total:.0%}" for name, p in k.parts.items())
    apart = "; no patient and no copy in two parts" if disjoint(k)[0] == PASS else ""
    return either(k.parts, f"split.csv: {shares}{apart}; seed {s.get('seed', 'not recorded')}", NO_SPLIT)


def sample_size(k: Known) -> Verdict:
    """Check that the size of the test set was planned."""
    small = [name for name, n in k.m["labels"].items() if n["images"] < SMALLEST]
    if small:
        return FAIL, f"fewer than {SMALLEST} test images of {', '.join(small)}"
    return (
        TODO,
        f"{thousands(k.m['n_images'])} images were tested; say why that is enough (the intervals show the precision)",
    )


def software(k: Known) -> Verdict:
    """Check that software versions are recorded."""
    return either(k.packages, listed(k.packages), "no manifest.json of a training run beside the bundle")


def initial(k: Known) -> Verdict:
    """Check that the initial weights are recorded."""
    s = k.settings
    start = f"{s.get('weights') or 'random (' + str(s.get('initializer', 'default')) + ')'}, seed {s.get('seed')}"
    return either(s, start, NO_SETTINGS)


def training(k: Known) -> Verdict:
    """Check that the training recipe is recorded."""
    s = k.settings
    recipe = (
        f"config.yaml and bundle.json: batch {s.get('batch_size')}, learning rate {s.get('learning_rate')}, at most "
        f"{s.get('epochs')} epochs, augmentation {'on' if s.get('augment') else 'off'}"
    )
    return either(s, recipe, NO_SETTINGS)


def chosen(k: Known) -> Verdict:
    """Check that the choice of the final weights is recorded."""
    best = (k.facts.get("training") or {}).get("best_epoch")
    return either(best, f"lowest validation loss, epoch {best}", "the bundle does not state its epoch")


def ensembles(k: Known) -> Verdict:
    """Check that it is stated whether several networks answer together."""
    runs = ((k.facts.get("training") or {}).get("init") or {}).get("runs") or ()
    if runs:
        return PASS, f"one network, whose weights are the mean of those of {len(runs)} runs"
    return PASS, "one network, no ensemble"


def imbalance(k: Known) -> Verdict:
    """Check that the handling of rare classes is recorded."""
    weighted = k.settings.get("class_weights")
    how = "classes weighted by their number in training" if weighted else "no weighting of classes"
    return either(k.settings, f"{how}; macro averages and each class on its own", NO_SETTINGS)


def demographics(k: Known) -> Verdict:
    """Check that age and sex of each part are stated."""
    if not k.parts:
        return TODO, NO_SPLIT
    without = [name for name, p in k.parts.items() if p["age"] is None or not p["sex"]]
    if without:
        return FAIL, f"age or sex is not stated in the parts {', '.join(without)}"
    absent = {name: k.m["subgroups"]["attributes"][name]["not_stated"] for name in ("sex", "age")}
    lacking = ", ".join(f"{thousands(n)} without {name}" for name, n in absent.items())
    text = f"age and sex of each part are tabulated; of {thousands(k.m['n_images'])} tested, {lacking}"
    return either(max(absent.values()) <= k.m["n_images"] / 2, text, text, otherwise=FAIL)


def differs(k: Known) -> Verdict:
    """Check that training and test data are compared."""
    return either(k.parts, "classes, sources, sex and age of each part are tabulated side by side", NO_SPLIT)


def shared_code(k: Known) -> Verdict:
    """Check that the code is open."""
    version = k.packages.get("covid-xray")
    return either(version, f"covid-xray {version}, Apache-2.0", "say where the code of this network is")


def shared_data(k: Known) -> Verdict:
    """Check that the data and the model can be obtained."""
    data, network = str(k.trained.get("fingerprint") or "")[:12], k.m["model"]["sha256"][:12]
    hashes = f"fingerprint of the training data {data}, SHA-256 of the network {network}; " if data else ""
    return TODO, f"{hashes}say where the data and the model can be had"


def specification(k: Known) -> Verdict:
    """Check that the network can be run by others."""
    digest = k.m["model"]["sha256"][:12]
    others = [f"{key}.onnx" for key in ("lungs", "fusion") if k.facts.get(key)]
    files = ", ".join(["bundle.json", *others])
    return PASS, f"bundle: model.onnx (SHA-256 {digest}...) with {files} runs anywhere ONNX Runtime does"
