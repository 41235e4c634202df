"""Define the settings of each program as one frozen object, and load them from YAML or TOML plus overrides.

An unknown key is an error. The resolved settings are written beside every result.
"""

import ipaddress
import tomllib
from collections.abc import Iterable
from pathlib import Path
from typing import Annotated, Any, Literal, TypeVar

import pydantic
import yaml

from covid_xray.connections import OpenId, Webhook
from covid_xray.errors import UsageError, did_you_mean
from covid_xray.limits import Limits, parse_limits

__all__ = ["Appearance", "Augmentation", "Limits", "LungTraining", "Serving", "Settings", "Training", "load", "to_yaml"]

S = TypeVar("S", bound="Settings")


def _not_empty(value: object) -> object:
    if value == "":
        raise ValueError('Give a file or folder; "." means the current folder')
    return value


def _limits(value: object) -> Limits:
    if isinstance(value, Limits):
        return value
    if not isinstance(value, dict):
        raise ValueError("Give limits by name, as limits.pixels=60000000")
    try:
        parsed: dict[str, Any] = dict(parse_limits(f"{name}={limit}" for name, limit in value.items()))
        return Limits(**parsed).require_agreement()
    except UsageError as error:
        raise ValueError(error.message.rstrip(".")) from None


FileLimits = Annotated[Limits, pydantic.BeforeValidator(_limits)]
NamedPath = Annotated[Path, pydantic.BeforeValidator(_not_empty)]  # an empty path would mean the current folder


def _network(text: str) -> str:
    return str(ipaddress.ip_network(text, strict=False))


NetworkText = Annotated[str, pydantic.AfterValidator(_network)]  # an address, or a network such as 10.0.0.0/8


class Settings(pydantic.BaseModel):
    """Base class of all settings: frozen, and strict about names."""

    model_config = pydantic.ConfigDict(frozen=True, extra="forbid")


class Augmentation(Settings):
    """Random changes to training images only, drawn anew for each image and epoch; each value is a largest amount.

    `horizontal_flip` is off, since a mirrored chest is another anatomy (situs inversus).
    """

    rotation: float = pydantic.Field(7.0, ge=0, le=180)  # degrees
    shear: float = pydantic.Field(5.0, ge=0, lt=60)  # degrees
    zoom: float = pydantic.Field(0.1, ge=0, lt=1)  # share of the size
    shift: float = pydantic.Field(0.05, ge=0, lt=1)  # share of the size
    brightness: float = pydantic.Field(0.1, ge=0, le=1)  # share of white
    contrast: float = pydantic.Field(0.15, ge=0, lt=1)  # share of the contrast
    horizontal_flip: bool = False


class Appearance(Settings):
    """Random changes of look that break the fingerprint of a hospital (`training.augmentation`); largest amounts."""

    probability: float = pydantic.Field(0.0, ge=0, le=1)  # of each change; 0 switches all of them off
    gamma: float = pydantic.Field(0.5, ge=0, le=2)  # of the logarithm of the exponent
    window: float = pydantic.Field(0.15, ge=0, lt=0.5)  # share of the pixels, and of the range, at either end
    equalise: float = pydantic.Field(0.8, ge=0, le=1)  # share of the equalised picture
    blur: float = pydantic.Field(1.2, ge=0, le=10)  # sigma in pixels of a 224-pixel picture, also of sharpening
    noise: float = pydantic.Field(12.0, ge=0, le=128)  # standard deviation in grey values
    resolution: float = pydantic.Field(0.6, ge=0, lt=1)  # share of the size that is lost
    jpeg: int = pydantic.Field(25, ge=1, le=95)  # lowest quality
    patch: float = pydantic.Field(0.2, ge=0, lt=1)  # share of the size
    marks: int = pydantic.Field(3, ge=1)  # letters or words
    border: float = pydantic.Field(0.08, ge=0, lt=0.4)  # share of the size, each side


Share = Annotated[float, pydantic.Field(gt=0)]


class Training(Settings):
    """One training run: the original network and recipe by default."""

    model: str = "vgg"
    # classes: predict the label; within_source: rank ill above well inside each source (`training.within_source`)
    objective: Literal["classes", "within_source"] = "classes"
    # The next four with objective=within_source: the label of the healthy; labels that are ill, but never answered;
    # the share of the healthy of any source that may pass as ill; how firmly healthy scores of all sources are aligned.
    well: str = "normal"
    unanswered: tuple[str, ...] = ()
    false_positives: float = pydantic.Field(0.05, gt=0, lt=1)
    alignment: float = pydantic.Field(0.3, ge=0)
    init: str | None = None  # begin from a bundle: default (the one that ships), or the folder of a bundle or run
    # begin from the mean of the weights of these finished runs of the same network; epochs=0 keeps it as it is
    average_of: tuple[NamedPath, ...] = ()
    weights: str | None = pydantic.Field(None, min_length=1)  # imagenet (found here), download, or a file of weights
    weights_sha256: str = ""  # of that file: written by the run, compared where it is given
    train_from: str = ""  # efficientnet_lite0: layers before the first one of this prefix, such as block12, stay as is
    freeze: tuple[str, ...] = ()  # layers whose names begin with one of these stay as they are: [stem, block0]
    unfreeze: dict[int, tuple[str, ...]] = {}  # epoch -> frozen layers that train from then on: {3: [block16]}
    layer_rates: dict[str, Share] = {}  # share of learning_rate for layers that begin so: {block: 0.1}; longest wins
    depth_rate: float = pydantic.Field(1.0, gt=0, le=1)  # the same for the first layer; rises geometrically to the head
    image_size: int = pydantic.Field(224, ge=32, le=1024)  # rows and columns of the network's input
    crop: Literal["none", "lungs", "lungs-only"] = "none"  # lungs: with a margin; lungs-only: equalised, black around
    lungs: NamedPath | None = None  # folder of a lung network: a run of train-lungs, a training run, or a bundle
    crop_margin: float | None = pydantic.Field(None, ge=0, le=1)  # share of the lungs' size; null: the network's own
    storage: Literal["float32", "float16"] = "float32"  # of the exported weights; the arithmetic is float32
    blocks: tuple[int, ...] = (32, 64, 128, 256)  # vgg: filters of each block
    convolutions: int = pydantic.Field(2, ge=1)  # vgg: 3x3 convolutions in a block
    dense: tuple[int, ...] = (512, 512)  # vgg: units of the hidden layers; () for global average pooling
    dropout: float = pydantic.Field(0.3, ge=0, lt=1)
    initializer: Literal["glorot_uniform", "he_normal"] = "glorot_uniform"  # vgg: he_normal starts sooner on small sets
    epochs: int = pydantic.Field(30, ge=0)  # 0: the probe alone
    batch_size: int = pydantic.Field(32, ge=1)
    learning_rate: float = pydantic.Field(1e-3, gt=0)
    optimizer: Literal["adam", "adamw"] = "adam"
    weight_decay: float = pydantic.Field(0.0, ge=0)  # adamw
    schedule: Literal["plateau", "cosine"] = "plateau"  # cosine: falls to 0 over `epochs`, and the last epoch is kept
    warmup: int = pydantic.Field(0, ge=0)  # cosine: epochs in which the rate rises to learning_rate
    average_decay: float = pydantic.Field(0.0, ge=0, lt=1)  # of the running average of the weights, each step; 0: none
    probe: float = pydantic.Field(0.0, ge=0)  # C of the logistic regression that sets the head before; 0: none
    probe_prior: Literal["balanced", "natural"] = "balanced"  # probe: classes weigh alike, or as often as they are
    probe_scale: Literal["each", "one"] = "each"  # probe: features by their own spread, or all by one
    probe_blind: tuple[Literal["source", "outside", "corners"], ...] = ()  # probe: to a class's source, off the lungs
    distill_from: tuple[NamedPath, ...] = ()  # runs or bundles whose mean probabilities are learned with the labels
    distill_weight: float = pydantic.Field(0.5, gt=0, le=1)  # share of the teachers in the loss; 1: no labels
    distill_temperature: float = pydantic.Field(2.0, ge=1)  # softens teachers and network; 1: as they are
    label_smoothing: float = pydantic.Field(0.0, ge=0, lt=1)
    mixup: float = pydantic.Field(0.0, ge=0)  # alpha of the Beta that the shares of mixed images come from; 0: none
    sampling: Literal["plain", "balanced"] = "plain"  # balanced over class and source (`training.sampling`)
    samples_per_epoch: int = pydantic.Field(0, ge=0)  # balanced: images drawn for an epoch; 0: as many as there are
    worst_group: float = pydantic.Field(0.0, ge=0)  # step of group DRO over (class, source); 0: the plain mean
    early_stopping_patience: int = pydantic.Field(5, ge=1)  # epochs without a better validation loss
    reduce_lr_patience: int = pydantic.Field(2, ge=1)
    reduce_lr_factor: float = pydantic.Field(0.2, gt=0, lt=1)
    min_learning_rate: float = pydantic.Field(1e-6, ge=0)
    chance_patience: int = pydantic.Field(10, ge=0)  # epochs at chance from the start, then it stops; 0: never
    track: Literal["csv", "tensorboard", "mlflow"] | None = None  # where figures go beside history.csv
    class_weights: bool = True  # n / (classes * n_class), from the training part
    augment: bool = True
    augmentation: Augmentation = Augmentation()
    appearance: Appearance = Appearance()  # off: its probability is 0
    precision: Literal["auto", "float32", "mixed_bfloat16"] = "auto"
    devices: int = pydantic.Field(1, ge=1)  # of this machine that share each batch: GPUs, or parts of the processor
    deterministic: bool = False  # same machine, same seed: the same weights; slower
    seed: int = pydantic.Field(0, ge=0)
    val_fraction: float = pydantic.Field(0.15, gt=0, lt=1)
    test_fraction: float = pydantic.Field(0.15, ge=0, lt=1)
    calibration_fraction: float = pydantic.Field(0.10, ge=0, lt=1)  # for temperature, sets, operating points; 0: none
    decode_workers: int = pydantic.Field(0, ge=0)  # 0: one for each core

    @pydantic.model_validator(mode="after")
    def _something_is_trained(self) -> "Training":
        if not self.epochs and not self.probe and self.init is None and not self.average_of:
            raise ValueError("Nothing would be trained. Give epochs of 1 or more, a probe, init or average_of.")
        if self.average_of and self.init is not None:
            raise ValueError("init and average_of exclude each other. Give one of them.")
        if self.init is not None and self.weights is not None:
            raise ValueError("weights and init exclude each other: a bundle has its own weights. Leave weights out.")
        if self.unfreeze and not self.freeze:
            raise ValueError("unfreeze frees layers, and none is frozen. Give freeze as well.")
        if min(self.unfreeze, default=2) < 2:
            raise ValueError("Layers are unfrozen from epoch 2 or later. Leave those of epoch 1 out of freeze.")
        if self.distill_from and self.objective != "classes":
            raise ValueError("distill_from teaches probabilities of classes. Leave it out, or set objective=classes.")
        return self


# Settings that a resumed run may change; `lungs`, `init` and `distill_from` are compared by their networks.
FREE = frozenset({"epochs", "decode_workers", "devices", "calibration_fraction", "lungs", "init", "average_of",
                  "distill_from", "chance_patience", "track"})  # fmt: skip


class Serving(Settings):
    """Settings of the server: address, storage, retention and timeouts."""

    host: str = "127.0.0.1"  # any other than a loopback address needs a user or a token
    port: int = pydantic.Field(8000, ge=0, le=65535)  # 0: any free one
    store: NamedPath = Path("~/.local/share/covid-xray")  # of images and, without `database`, the SQLite file
    database: str | None = None  # URL such as postgresql+psycopg://user@host/name
    token: pydantic.SecretStr | None = None  # a bearer token with all rights, for programs
    public_url: str | None = None  # what the browser shows, when a proxy stands before the server
    trusted_proxies: tuple[NetworkText, ...] = ()  # believed about the client's address; public_url: loopback at least
    openid: OpenId | None = None
    webhooks: tuple[Webhook, ...] = ()
    certificate: NamedPath | None = None  # PEM: HTTPS without a proxy
    key: NamedPath | None = None  # PEM
    retention_hours: float = pydantic.Field(720.0, ge=0)  # studies older than this are deleted; 0 keeps them
    quota_bytes: int = pydantic.Field(20 << 30, ge=1 << 20)  # of images
    audit_days: float = pydantic.Field(2190.0, ge=0)  # then months of the audit log are removed; 0 keeps them
    session_hours: float = pydantic.Field(12.0, gt=0, le=720)
    idle_minutes: float = pydantic.Field(30.0, ge=0)  # without use, after which a session ends; 0 for any number
    shortest_password: int = pydantic.Field(12, ge=8, le=64)
    lockout_failures: int = pydantic.Field(10, ge=0)  # log-ins in a row that lock a name or an address; 0 locks nothing
    lockout_minutes: float = pydantic.Field(15.0, gt=0)  # the first time; doubled with each further round
    body_seconds: float = pydantic.Field(30.0, gt=0)  # for an upload to arrive, and more as long as it keeps the rate
    batch_seconds: float = pydantic.Field(600.0, gt=0)  # the same for a batch
    least_bytes_per_second: float = pydantic.Field(16384.0, ge=0)  # of an upload, on average; 0: no more time for any
    batch: int = pydantic.Field(4, ge=1, le=256)  # most images in one run of the network
    requests_per_minute: int = pydantic.Field(6000, ge=0)  # of one user or address; 0 for any number
    logins_per_minute: int = pydantic.Field(10, ge=1)  # failed ones, of one name or address
    shutdown_seconds: int = pydantic.Field(20, ge=0)  # for requests under way when the server is stopped
    language: Literal["en", "de", "es", "fr", "ar", "zh"] = "en"  # where the browser asks for none of these
    require_site: bool = False  # answer "cannot say" where the bundle was not checked at this hospital (`--site`)
    drift_reference: Path | None = None  # drift.json of the commissioning or its folder; None: the first images
    limits: FileLimits = pydantic.Field(default_factory=Limits)  # for files: bytes, pixels, seconds ...


class LungTraining(Settings):
    """Training of the lung network (`training.train_lungs`)."""

    image_size: int = pydantic.Field(192, ge=32, le=1024)  # rows and columns of the network's input
    epochs: int = pydantic.Field(80, ge=1)
    batch_size: int = pydantic.Field(16, ge=1)
    learning_rate: float = pydantic.Field(2e-3, gt=0)
    stretch: float = pydantic.Field(0.25, ge=0, lt=1)  # of the logarithm of width and height, each on its own
    augmentation: Augmentation = Augmentation(rotation=15.0, shear=8.0, zoom=0.35, shift=0.1)
    appearance: Appearance = Appearance(probability=0.3)
    seed: int = pydantic.Field(0, ge=0)


def load(kind: type[S], *, file: Path | None = None, overrides: Iterable[str] = ()) -> S:
    """Load settings of `kind` from a YAML or TOML `file`, then `key=value` overrides (nested: `augmentation.zoom=0`).

    Raises:
        UsageError: an unknown key, a value of the wrong type or range, an unreadable file.
    """
    values = _read(file) if file else {}
    for override in overrides:
        _apply(values, override)
    try:
        return kind.model_validate(values)
    except pydantic.ValidationError as error:
        raise UsageError(_explain(kind, error)) from None


def to_yaml(settings: Settings) -> str:
    """Write the settings as YAML, every key with its value, in the order of the class."""
    return str(yaml.safe_dump(settings.model_dump(mode="json"), sort_keys=False))


def _read(file: Path) -> dict[str, Any]:
    if not file.is_file():
        raise UsageError(f"No such file: {file}. Give a settings file in YAML or TOML.")
    try:
        text = file.read_text(encoding="utf-8")
        values = tomllib.loads(text) if file.suffix == ".toml" else yaml.safe_load(text)
    except (ValueError, yaml.YAMLError):
        raise UsageError(f"{file} is not valid YAML or TOML in UTF-8.") from None
    if not isinstance(values or {}, dict):
        raise UsageError(f"{file} has no settings: it holds a {type(values).__name__}. Write one `key: value` a line.")
    return dict(values or {})


def _apply(values: dict[str, Any], override: str) -> None:
    key, equals, text = override.partition("=")
    if not equals or not key:
        raise UsageError(f"Not a setting: {override}. Write key=value.")
    *parents, last = key.strip().split(".")
    for parent in parents:
        values = values.setdefault(parent, {})
        if not isinstance(values, dict):
            raise UsageError(f"Not a setting: {override}. {parent} is no group of settings.")
    try:
        values[last] = yaml.safe_load(text)
    except yaml.YAMLError:
        values[last] = text


def _explain(kind: type[Settings], error: pydantic.ValidationError) -> str:
    lines = []
    for problem in error.errors():
        key = ".".join(str(part) for part in problem["loc"])
        if problem["type"] == "extra_forbidden":
            known = "" if "." in key else f" The settings are {', '.join(kind.model_fields)}."
            close = did_you_mean(key, kind.model_fields)
            lines.append(f"No such setting: {key}={problem['input']}.{known}{close}")
        elif key:
            reason = problem["msg"].removeprefix("Value error, ")
            lines.append(f"Not a valid setting: {key}={problem['input']}. {reason}.")
        else:  # of several settings together
            lines.append(problem["msg"].removeprefix("Value error, "))
    return "\n".join(lines)
