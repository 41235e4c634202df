"""The checks behind the reporting checklists: what a run knows of itself in, a verdict with its evidence out."""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from covid_xray.evaluation.report.sections import Facts, counts, whole, with_span

PASS, FAIL, TODO = "PASS", "FAIL", "TODO"
Verdict = tuple[str, str]


@dataclass(frozen=True)
class Known:
    """What a run knows of itself: `m`, the content of metrics.json, and `facts`, that of bundle.json."""

    m: Facts
    facts: Facts

    @property
    def run(self) -> Facts:
        """What lies beside the bundle."""
        return self.m.get("run") or {}

    @property
    def trained(self) -> Facts:
        """The training data as the bundle describes them."""
        return self.facts.get("training_data") or {}

    @property
    def settings(self) -> Facts:
        """Of the training."""
        return (self.facts.get("training") or {}).get("settings") or {}

    @property
    def audit(self) -> Facts | None:
        """Of this very network."""
        found = self.run.get("audit")
        return found if found and found["model"]["sha256"] == self.m["model"]["sha256"] else None


Check = Callable[[Known], Verdict]


def person(what: str) -> Check:
    """An item that only a person can answer."""
    return lambda k: (TODO, what)


def either(found: Any, passed: str, missing: Verdict) -> Verdict:
    """PASS with its evidence where something is found, else what is missing."""
    return (PASS, passed) if found else missing


def kind_of_model(k: Known) -> Verdict:
    """Network, classes and input are stated."""
    about = k.facts.get("input") or {}
    size = f", input {about['height']} x {about['width']}" if "height" in about else ""
    return PASS, f"network {k.m['model']['name']} {k.m['model']['version']}, classes {', '.join(k.m['classes'])}{size}"


def intended_use(k: Known) -> Verdict:
    """The model card says what it is not for."""
    return PASS, "model_card.md: for research on methods, not for any decision about a person"


def sources(k: Known) -> Verdict:
    """Where the images come from."""
    found = k.trained.get("source") or {}
    told = ", ".join(f"{name or 'not stated'} ({whole(n)})" for name, n in found.items())
    return either(found, f"trained on {told}", (FAIL, "the table of the data has no column source"))


def licences(k: Known) -> Verdict:
    """Under which terms the training images are."""
    found = k.trained.get("license") or {}
    total, unknown = sum(found.values()), sum(n for name, n in found.items() if name in ("", "not stated"))
    if not found:
        return TODO, "the table of the data has no column license"
    if unknown:
        return FAIL, f"{whole(unknown)} of {whole(total)} training images state no licence"
    return PASS, f"all {whole(total)} training images state one: {', '.join(found)}"


def excluded(k: Known) -> Verdict:
    """What was left out, with reasons."""
    refused, failed = len(k.m["quarantined"]), len(k.m["failures"])
    told = f"{whole(refused)} files refused and {whole(failed)} without a score, each with its reason"
    return TODO, f"{told}; say which people were imaged, and who was left out"


def flow(k: Known) -> Verdict:
    """How many people and images are in each part."""
    parts = k.run.get("parts")
    told = "; ".join(f"{name} {whole(p['images'])} images ({counts(p['labels'])})" for name, p in (parts or {}).items())
    return either(parts, told, (TODO, "no split.csv beside the bundle: evaluate the run folder"))


def preprocessing(k: Known) -> Verdict:
    """Preparation is in the bundle."""
    about = k.facts.get("input") or {}
    told = f"in the bundle: grey, {about.get('resize', 'resized')}, to {about.get('height')} x {about.get('width')}"
    return either(about, told, (TODO, "the bundle says nothing of its input"))


def missing_data(k: Known) -> Verdict:
    """Absent columns and files are counted."""
    found = k.m["subgroups"]["attributes"]
    told = ", ".join(f"{a['title']} {whole(a['not_stated'])}" for a in found.values())
    return PASS, f"images without a score are listed; not stated among {whole(k.m['n_images'])} images: {told}"


def disjoint(k: Known) -> Verdict:
    """No patient and no radiograph in two parts."""
    parts, shared = k.run.get("parts"), k.run.get("overlaps")
    if not parts or shared is None:
        return (
            TODO,
            "the split is not known for all images: evaluate the run folder with the data that it was split from",
        )
    if shared:
        return FAIL, " ".join(shared)
    images, unnamed = (sum(p[key] for p in parts.values()) for key in ("images", "unnamed"))
    if unnamed == images:
        return FAIL, "no image names its patient, so patients may be in two parts; files and copies are not"
    told = f"no patient, file or picture in two parts of split.csv ({whole(images)} images)"
    return PASS, told + (f"; {whole(unnamed)} name no patient and were kept apart by file only" if unnamed else "")


def assigned(k: Known) -> Verdict:
    """How images came into parts."""
    s = k.settings
    told = f"by patient and copy, stratified by class, seed {s.get('seed')}: {s.get('val_fraction')} validation, "
    told += f"{s.get('test_fraction')} test (split.csv)"
    return either("seed" in s and k.run.get("parts"), told, (TODO, "no settings of the training or no split.csv"))


def subsets(k: Known) -> Verdict:
    """Which rows were used."""
    parts = k.run.get("parts") or {}
    missing = (TODO, "say which rows of the collection were chosen, and why")
    return (
        either(parts, f"classes and sources of each part are tabulated; {missing[1]}", missing)
        if not parts
        else missing
    )


def sample_size(k: Known) -> Verdict:
    """Whether the size was planned."""
    small = [name for name, n in k.m["labels"].items() if n["images"] < 20]
    if small:
        return FAIL, f"fewer than 20 test images of {', '.join(small)}"
    return (
        TODO,
        f"{whole(k.m['n_images'])} images were tested; say why that is enough (the intervals show what it gives)",
    )


def software(k: Known) -> Verdict:
    """Versions of what ran."""
    found = (k.run.get("made") or {}).get("packages") or {}
    told = ", ".join(f"{name} {version}" for name, version in found.items())
    return either(found, told, (TODO, "no manifest.json of a training run beside the bundle"))


def initial(k: Known) -> Verdict:
    """Where the weights start."""
    s = k.settings
    told = f"{s.get('weights') or 'random (' + str(s.get('initializer', 'default')) + ')'}, seed {s.get('seed')}"
    return either(s, told, (TODO, "the bundle holds no settings of its training"))


def training(k: Known) -> Verdict:
    """The recipe."""
    s = k.settings
    told = (
        f"config.yaml and bundle.json: batch {s.get('batch_size')}, learning rate {s.get('learning_rate')}, at most "
        f"{s.get('epochs')} epochs, augmentation {'on' if s.get('augment') else 'off'}"
    )
    return either(s, told, (TODO, "the bundle holds no settings of its training"))


def chosen(k: Known) -> Verdict:
    """How the final weights were chosen."""
    best = (k.facts.get("training") or {}).get("best_epoch")
    return either(best, f"lowest validation loss, epoch {best}", (TODO, "the bundle does not say which epoch it is of"))


def measures(k: Known) -> Verdict:
    """Discrimination and calibration are both measured."""
    f = k.m["figures"]
    have = [name for name in ("accuracy", "macro_f1", "auroc_macro", "brier", "ece") if name in f]
    missing = (FAIL, f"AUROC is undefined on these images; measured: {', '.join(have)}")
    return either("auroc_macro" in f, f"{', '.join(have)}, and for each class sensitivity, specificity, AUROC", missing)


def intervals(k: Known) -> Verdict:
    """Every figure with an interval over patients."""
    f, s = k.m["figures"], k.m["settings"]
    without = [name for name, figure in f.items() if figure["ci_low"] is None]
    told = f"{len(f) - len(without)} of {len(f)} figures have a 95 % bootstrap interval, {whole(s['rounds'])} rounds"
    if k.m["n_patients"] is None:
        return FAIL, f"{told}, but over images: no image names its patient"
    return (PASS, f"{told} over {whole(k.m['n_patients'])} patients") if len(without) < len(f) / 2 else (FAIL, told)


def discrimination(k: Known) -> Verdict:
    """The estimates with their precision."""
    f = k.m["figures"]
    told = f"macro-F1 {with_span(f['macro_f1'])}; AUROC {with_span(f.get('auroc_macro'))}"
    return either(f["macro_f1"]["ci_low"] is not None, told, (FAIL, f"{told}: too few images for an interval"))


def diagnostic(k: Known) -> Verdict:
    """Sensitivity and specificity of each class with intervals."""
    f = k.m["figures"]
    sides = [f.get(f"{side}/{name}") for name in k.m["classes"] for side in ("sensitivity", "specificity")]
    told = "; ".join(
        f"{name}: sensitivity {with_span(f.get(f'sensitivity/{name}'))}, specificity "
        f"{with_span(f.get(f'specificity/{name}'))}"
        for name in k.m["classes"]
    )
    return either(all(side and side["ci_low"] is not None for side in sides), told, (FAIL, f"{told}: too few images"))
