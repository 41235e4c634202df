"""Build a network of the user's own: `package.module:function`, or a Keras model handed over in Python.

It gets our grey input N x H x W x 1 in 0..255 (three equal channels where it wants three), and its last layer becomes
`probabilities`. For heat maps it must end in global average pooling or flatten, then dense layers.
"""

import contextlib
import importlib
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any

from covid_xray.config import Training
from covid_xray.errors import UsageError

if TYPE_CHECKING:
    import keras

HEAD = "probabilities"
_HANDED: dict[str, Any] = {}  # model:NAME -> a model, or a function that builds one, handed over in Python


def is_own(name: str) -> bool:
    """Say whether a name of a network is `package.module:function` or a model handed over."""
    return ":" in name


@contextlib.contextmanager
def handed(model: "keras.Model | Callable[..., keras.Model]") -> Iterator[str]:
    """Make a model, or a function that builds one, known inside the context; yield its name for `Training.model`."""
    name = f"model:{getattr(model, 'name', None) or getattr(model, '__name__', type(model).__name__)}"
    _HANDED[name] = model
    try:
        yield name
    finally:
        _HANDED.pop(name, None)


def classes_of(name: str) -> int | None:
    """Return the number of outputs of a model that was handed over; `None` for a network that is built as asked."""
    outputs = getattr(_HANDED.get(name), "outputs", None)
    return int(outputs[0].shape[-1]) if outputs else None


def require(settings: Training) -> None:
    """Check that the network can be had. Raises `UsageError` where it cannot."""
    if settings.model not in _HANDED:
        _function(settings.model)
    if settings.train_from or settings.weights:
        raise UsageError("train_from and weights are for networks that have a name here. Let your function do this.")


def build(settings: Training, classes: int) -> "keras.Model":
    """Build the network with our input and a layer `probabilities` of `classes` outputs.

    A function is called as `function(settings, classes)`; a model that was handed over is copied with its weights.

    Raises:
        UsageError: the function or its model does not fit, with what to change.
    """
    import keras

    given = _HANDED.get(settings.model)
    if isinstance(given, keras.Model):
        model = keras.models.clone_model(given)
        model.set_weights(given.get_weights())
    else:
        model = _call(settings, classes)
    _check(model, settings, classes)
    return _wrapped(model, settings)


def _call(settings: Training, classes: int) -> Any:
    try:
        return (_HANDED.get(settings.model) or _function(settings.model))(settings, classes)
    except TypeError as error:
        raise UsageError(
            f"{settings.model} cannot be called: {error}. Write it as def build(settings, classes) -> keras.Model."
        ) from error


def _function(name: str) -> Callable[..., Any]:
    module, _, function = name.partition(":")
    here = str(Path.cwd())
    if here not in sys.path:  # a console script does not look into the working folder, where such a module lies
        sys.path.insert(0, here)
    try:
        found = getattr(importlib.import_module(module), function)
    except (ImportError, AttributeError, ValueError) as error:
        raise UsageError(
            f"No such function: {name} ({error}). Give package.module:function, importable from {here}."
        ) from None
    if not callable(found):
        raise UsageError(f"{name} is not a function. Write it as def build(settings, classes) -> keras.Model.")
    return found


def _check(model: Any, settings: Training, classes: int) -> None:
    import keras

    if not isinstance(model, keras.Model) or len(model.inputs or ()) != 1 or len(model.outputs) != 1:
        raise UsageError(f"{settings.model} is no Keras model of one input and one output. Build a functional model.")
    shape, outputs = tuple(model.inputs[0].shape[1:]), tuple(model.outputs[0].shape[1:])
    size = settings.image_size
    if shape not in {(size, size, 1), (size, size, 3)} and shape[:2] != (None, None):
        raise UsageError(
            f"{settings.model} takes {shape}. It must take {size} x {size} x 1 or x 3 grey values in 0..255; set "
            "image_size to its size."
        )
    if outputs != (classes,):
        raise UsageError(f"{settings.model} gives {outputs}. It must give {classes} probabilities, one for each class.")
    last = model.layers[-1]
    if not isinstance(last, keras.layers.Dense) or last.activation is not keras.activations.softmax:
        raise UsageError(f"The last layer of {settings.model} must be a dense layer with activation softmax.")


def _wrapped(model: Any, settings: Training) -> "keras.Model":
    """Put our input before the model, and give its last layer our name."""
    import keras

    from covid_xray.models.vgg import grey_input, to_rgb

    image = grey_input(settings.image_size, settings.image_size)
    tail = _tail(model)
    features = keras.Model(model.inputs, tail[-1].input, name="features")
    x = features(to_rgb(image) if model.inputs[0].shape[-1] == 3 else image)
    for layer in reversed([model.layers[-1], *tail]):
        ours = {"name": HEAD, "dtype": "float32"} if layer is model.layers[-1] else {}
        copy = layer.__class__.from_config({**layer.get_config(), **ours})
        x = copy(x)
        copy.set_weights(layer.get_weights())
    return keras.Model(image, x, name=model.name)


def _tail(model: Any) -> list[Any]:
    """List the layers between features and last layer, backwards: dropout, dense, then the one that makes vectors."""
    from keras import layers

    found: list[Any] = []
    for layer in reversed(model.layers[:-1]):
        found.append(layer)
        if isinstance(layer, layers.Flatten | layers.GlobalAveragePooling2D):
            return found
        if not isinstance(layer, layers.Dense | layers.Dropout):
            break
    raise UsageError(
        f"No heat maps for {model.name}: its head must be global average pooling or flatten, then dense layers and "
        "dropout."
    )
