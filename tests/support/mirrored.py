"""Train a small network for two epochs on so many devices, in a process of its own; prints its losses as JSON."""

import json
import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parent.parent))

import numpy as np

from covid_xray.config import Training
from covid_xray.training import devices
from covid_xray.training.batches import Part
from covid_xray.training.cache import PixelCache
from covid_xray.training.epochs import train_epoch, validate
from covid_xray.training.network import begin_layers, build_model
from covid_xray.training.recipe.layer_plan import plan_layers
from support.datasets import CLASSES, picture


def part(each: int, size: int) -> Part:
    labels = np.arange(3 * each) % 3
    names = tuple(f"{n}.png" for n in range(3 * each))
    pixels = np.stack([picture(CLASSES[label], n, size=size) for n, label in enumerate(labels)])
    rows = PixelCache(pixels, {name: n for n, name in enumerate(names)})
    return Part(names, labels, CLASSES, rows, np.zeros(3 * each, np.int64))


def main(count: int) -> None:
    settings = Training(
        image_size=32,
        blocks=(4, 8),
        convolutions=1,
        dense=(16,),
        dropout=0.0,
        batch_size=16,
        precision="float32",
        devices=count,
    )
    images = part(25, 32)  # 75: the last batch has 11
    losses = []
    model = build_model(settings, len(CLASSES))
    begin_layers(model, plan_layers(model, settings), settings, epoch=1)  # builds the optimiser, as a run does
    for epoch in (1, 2, 3):
        losses.append(train_epoch(model, images, settings=settings, epoch=epoch)["loss"])
        losses.append(validate(model, images, batch_size=16)[0])
    print(json.dumps({"losses": losses, "replicas": devices.replicas(model)}))


if __name__ == "__main__":
    main(int(sys.argv[1]))
