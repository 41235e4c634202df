"""Drawn pictures as rich in detail as a radiograph, and the ways in which copies of one film differ."""

import cv2
import numpy as np
from numpy.typing import NDArray

Film = NDArray[np.uint8]


def film(seed: int, *, chest: int = 0, height: int = 340, width: int = 306) -> Film:
    """Lungs, ribs, spine and vessels: `chest` draws the bones, `seed` the vessels, mottle and grain.

    Two films with one `chest` and two seeds look like the same patient on two days.
    """
    bones, vessels = np.random.default_rng((chest, 1)), np.random.default_rng((seed, 2))
    y, x = np.mgrid[:height, :width] / np.array([height, width]).reshape(2, 1, 1)
    lungs = sum(np.exp(-(((x - side) / 0.17) ** 4) - ((y - 0.5) / 0.38) ** 4) for side in (0.27, 0.73))
    picture = 150 - 90 * lungs + 50 * np.exp(-(((x - 0.5) / 0.05) ** 2))
    for rib in range(9):
        curve = 0.1 + 0.09 * rib + bones.uniform(0.2, 0.5) * (x - 0.5) ** 2 + bones.uniform(-0.02, 0.02)
        picture += 22 * np.exp(-(((y - curve) / 0.012) ** 2))
    canvas = picture.astype(np.float32)
    for _ in range(140):
        start = vessels.uniform((0.1, 0.1), (0.9, 0.9)) * (width, height)
        end = start + vessels.normal(0, 30, 2)
        layer = np.zeros_like(canvas)
        cv2.line(layer, *(tuple(map(int, p)) for p in (start, end)), 1.0, int(vessels.integers(1, 5)), cv2.LINE_AA)
        canvas += vessels.uniform(8, 30) * cv2.GaussianBlur(layer, (0, 0), 1.2)
    for sigma, strength in ((4, 60), (1.5, 16)):
        canvas += strength * cv2.GaussianBlur(vessels.normal(0, 1, canvas.shape).astype(np.float32), (0, 0), sigma)
    return np.clip(canvas, 0, 255).astype(np.uint8)


def saved_anew(picture: Film, *, quality: int = 40) -> Film:
    data = cv2.imencode(".jpg", picture, [cv2.IMWRITE_JPEG_QUALITY, quality])[1]
    return np.asarray(cv2.imdecode(data, cv2.IMREAD_GRAYSCALE), np.uint8)


def resized(picture: Film, *, wide: float = 0.5, high: float = 0.5) -> Film:
    return np.asarray(cv2.resize(picture, None, fx=wide, fy=high, interpolation=cv2.INTER_AREA), np.uint8)


def cropped(picture: Film, *, share: float, at: tuple[float, float] = (0.5, 0.5)) -> Film:
    """What is left when `share` of each side is cut off; `at`: how much of it at the top and at the left."""
    height, width = (round(side * (1 - share)) for side in picture.shape)
    top, left = round((picture.shape[0] - height) * at[0]), round((picture.shape[1] - width) * at[1])
    return picture[top : top + height, left : left + width].copy()


def relit(picture: Film, *, gamma: float) -> Film:
    return (255 * (picture / 255.0) ** gamma + 0.5).astype(np.uint8)


def labelled(picture: Film) -> Film:
    marked = picture.copy()
    height, width = marked.shape
    cv2.putText(marked, "PORTABLE 12:30", (width // 20, height // 10), 0, width / 450, 255, 2)
    cv2.arrowedLine(marked, (width // 3, height // 2), (width // 4, height // 2 + 30), 255, 2)
    return marked


def turned(picture: Film, *, degrees: float = 3) -> Film:
    height, width = picture.shape
    turn = cv2.getRotationMatrix2D((width / 2, height / 2), degrees, 1)
    return np.asarray(cv2.warpAffine(picture, turn, (width, height), flags=cv2.INTER_LINEAR), np.uint8)


def breathed(picture: Film, *, by: float = 7) -> Film:
    """Another exposure of the same chest a breath later: everything bends smoothly by up to `by` pixels."""
    y, x = np.mgrid[: picture.shape[0], : picture.shape[1]].astype(np.float32)
    down = by * np.sin(y / 45) * np.cos(x / 60)
    across = by * np.cos(y / 55 + 1) * np.sin(x / 50)
    return np.asarray(cv2.remap(picture, x + across, y + down, cv2.INTER_LINEAR, borderMode=cv2.BORDER_REFLECT))


def mirrored(picture: Film) -> Film:
    return picture[:, ::-1].copy()


def everything(picture: Film) -> Film:
    """Relit, written on, cropped, turned and saved anew."""
    return saved_anew(turned(cropped(labelled(relit(picture, gamma=0.8)), share=0.1)), quality=60)


ALTERED = {
    "saved anew": saved_anew,
    "half size": resized,
    "cropped by 3 %": lambda picture: cropped(picture, share=0.03),
    "cropped by 20 %": lambda picture: cropped(picture, share=0.2, at=(0.2, 0.9)),
    "gamma 0.7": lambda picture: relit(picture, gamma=0.7),
    "gamma 1.4": lambda picture: relit(picture, gamma=1.4),
    "mirrored": mirrored,
    "written on": labelled,
    "turned by 3 degrees": turned,
    "squeezed": lambda picture: resized(picture, wide=1, high=0.8),
    "everything": everything,
}
