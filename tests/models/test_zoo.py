"""Names of networks, and what is said of a wrong one."""

import subprocess
import sys

import pytest

from covid_xray.config import Training
from covid_xray.errors import UsageError
from covid_xray.models import zoo


def test_names_need_no_keras() -> None:
    code = "import sys, covid_xray.models.zoo as z; print(z.names()); sys.exit('keras' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code], check=True, capture_output=True, text=True).stdout


def test_an_unknown_name_lists_the_known_ones() -> None:
    with pytest.raises(UsageError, match="resnet9000.*vgg.*MobileNetV2"):
        zoo.build(Training(model="resnet9000"), 3)


def test_our_network_has_no_imagenet_weights() -> None:
    with pytest.raises(UsageError, match="weights=null"):
        zoo.build(Training(weights="imagenet"), 3)


def test_names_match_in_any_case_and_close_ones_are_suggested() -> None:
    assert zoo.checked(Training(model="resnet50")).model == "ResNet50"
    assert zoo.checked(Training(model="VGG")).model == "vgg"
    with pytest.raises(UsageError, match=r"Did you mean ResNet50\?$"):
        zoo.checked(Training(model="resnet-50"))
    with pytest.raises(UsageError, match="train_from"):
        zoo.checked(Training(train_from="block12"))
