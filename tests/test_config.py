"""Settings are frozen, checked, and strict about names."""

from pathlib import Path

import pytest
import yaml

from covid_xray.config import Training, load, to_yaml
from covid_xray.errors import UsageError


def test_defaults_are_the_recipe_of_the_original() -> None:
    settings = Training()
    assert (settings.image_size, settings.blocks, settings.convolutions) == (224, (32, 64, 128, 256), 2)
    assert (settings.dense, settings.dropout, settings.learning_rate) == ((512, 512), 0.3, 1e-3)
    assert settings.augmentation.horizontal_flip is False


@pytest.mark.parametrize("suffix", [".yaml", ".toml"])
def test_file_then_overrides(tmp_path: Path, suffix: str) -> None:
    text = {
        ".yaml": "epochs: 7\naugmentation:\n  zoom: 0.2\n",
        ".toml": "epochs = 7\n[augmentation]\nzoom = 0.2\n",
    }
    (tmp_path / f"c{suffix}").write_text(text[suffix])
    settings = load(
        Training, file=tmp_path / f"c{suffix}", overrides=["seed=3", "augmentation.shift=0", "blocks=[8, 16]"]
    )
    assert (settings.epochs, settings.seed, settings.blocks) == (7, 3, (8, 16))
    assert (settings.augmentation.zoom, settings.augmentation.shift) == (0.2, 0)


def test_what_is_written_reads_as_the_same() -> None:
    settings = load(Training, overrides=["model=VGG16", "dense=[]", "weights=imagenet"])
    assert Training.model_validate(yaml.safe_load(to_yaml(settings))) == settings


@pytest.mark.parametrize(
    ("override", "message"),
    [
        ("epoch=3", "No such setting: epoch=3. The settings are model, "),
        ("epochs=0", "epochs"),
        ("epochs=many", "Not a valid setting: epochs=many"),
        ("lungs=''", "lungs"),
        ("augmentation.zooom=1", "augmentation.zooom"),
        ("epochs", "Not a setting: epochs. Write key=value"),
        ("epochs.x=1", "epochs"),
        ("precision=float8", "precision"),
    ],
)
def test_a_wrong_setting_is_named_with_what_is_accepted(override: str, message: str) -> None:
    with pytest.raises(UsageError, match=message.replace("(", r"\(")) as error:
        load(Training, overrides=[override])
    assert error.value.exit_code == 2


@pytest.mark.parametrize("content", ["- a\n- b\n", "a: [", "\x00"])
def test_a_file_that_is_no_settings_is_refused(tmp_path: Path, content: str) -> None:
    (tmp_path / "c.yaml").write_text(content)
    with pytest.raises(UsageError, match=r"c\.yaml"):
        load(Training, file=tmp_path / "c.yaml")


def test_a_missing_file_is_refused(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="No such file"):
        load(Training, file=tmp_path / "c.yaml")


def test_settings_are_frozen() -> None:
    with pytest.raises(ValueError, match="frozen"):
        Training().epochs = 1  # type: ignore[misc]
