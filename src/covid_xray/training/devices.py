"""Train one batch on several devices: TensorFlow's MirroredStrategy on this machine, `processes` over many.

Keras 3 gives every replica the whole batch in `train_on_batch`, so the batch is split here. The mean over the replicas
is the mean over the batch: shares are equal, and the images that fill up the last one have weight 0.
"""

import contextlib
from typing import Any

import numpy as np
from numpy.typing import NDArray

from covid_xray.errors import UsageError
from covid_xray.training import processes


def scope(devices: int) -> contextlib.AbstractContextManager[Any]:
    """Return the context to build a network in that trains on `devices` devices: GPUs, or shares of the processor.

    Raises:
        UsageError: TensorFlow is not the backend, there are too few GPUs, or its devices were fixed before.
    """
    return contextlib.nullcontext() if devices == 1 else _strategy(devices).scope()


def scope_of(model: Any) -> contextlib.AbstractContextManager[Any]:
    """Return the context that the network was built in, to compile it again."""
    return contextlib.nullcontext() if replicas(model) == 1 else model.distribute_strategy.scope()


def train_on_batch(
    model: Any, x: NDArray[np.float32], y: NDArray[np.float32], *, weight: NDArray[np.float32]
) -> dict[str, Any]:
    """Train one step as `model.train_on_batch(..., return_dict=True)`, on all devices or processes of the network."""
    count = replicas(model)
    if together := processes.count() > 1:
        count = processes.count()
    x, y, weight = pad_batch(x, y, weight, count)
    if together:
        x, y, weight = processes.share(x, y, weight)
    if together or count == 1:
        return dict(model.train_on_batch(x, y, sample_weight=weight, return_dict=True))
    model.make_train_function()
    shares = _split_batch(model.distribute_strategy, (x, y, weight), count)
    logs = model.train_function(iter([shares]))
    return {name: float(value) for name, value in logs.items()}


def predict_on_batch(model: Any, x: NDArray[np.float32]) -> NDArray[np.float32]:
    """Predict one batch as `model.predict_on_batch`, on one device."""
    if processes.count() > 1:
        return processes.predict_on_batch(model, x)
    if replicas(model) == 1:
        return np.asarray(model.predict_on_batch(x))
    # Through the strategy each replica would predict the whole batch, and all outputs would be concatenated.
    return np.asarray(model(x, training=False))


def replicas(model: Any) -> int:
    """Return the number of devices that the network was built for."""
    strategy = getattr(model, "distribute_strategy", None)
    return int(strategy.num_replicas_in_sync) if strategy is not None else 1


def pad_batch(
    x: NDArray[np.float32], y: NDArray[np.float32], weight: NDArray[np.float32], count: int
) -> tuple[NDArray[np.float32], NDArray[np.float32], NDArray[np.float32]]:
    """Pad a batch to a multiple of `count` images with the same mean loss.

    The loss is the sum of weighted losses over the number of images, so the weights grow by as much as that number.
    """
    missing = -len(x) % count
    if not missing:
        return x, y, weight
    again = np.arange(missing) % len(x)
    grown = weight * (len(x) + missing) / len(x)
    return (
        np.concatenate([x, x[again]]),
        np.concatenate([y, y[again]]),
        np.concatenate([grown, np.zeros(missing)]).astype(np.float32),
    )


def _split_batch(strategy: Any, arrays: tuple[NDArray[np.float32], ...], count: int) -> tuple[Any, ...]:
    def share(array: NDArray[np.float32], number: int) -> Any:
        import tensorflow as tf

        size = len(array) // count
        return tf.constant(array[number * size : (number + 1) * size])

    return tuple(
        strategy.experimental_distribute_values_from_function(
            lambda context, array=array: share(array, context.replica_id_in_sync_group)
        )
        for array in arrays
    )


def _strategy(devices: int) -> Any:
    import keras

    if keras.backend.backend() != "tensorflow":
        raise UsageError("devices above 1 needs the TensorFlow backend. Set KERAS_BACKEND=tensorflow, or devices=1.")
    import tensorflow as tf

    cards = tf.config.list_physical_devices("GPU")
    if not cards:
        _share_processor(tf, devices)
    elif len(cards) < devices:
        raise UsageError(f"devices={devices}, but this machine has {len(cards)} GPUs. Give a smaller number.")
    names = [device.name for device in tf.config.list_logical_devices("GPU" if cards else "CPU")[:devices]]
    # The reduction in host memory works for every kind of device; NCCL is TensorFlow's own choice for GPUs.
    how = None if cards else tf.distribute.HierarchicalCopyAllReduce()
    return tf.distribute.MirroredStrategy(names, cross_device_ops=how)


def _share_processor(tf: Any, devices: int) -> None:
    processor = tf.config.list_physical_devices("CPU")[0]
    known = tf.config.get_logical_device_configuration(processor) or [None]
    if len(known) >= devices:
        return
    try:
        tf.config.set_logical_device_configuration(processor, [tf.config.LogicalDeviceConfiguration()] * devices)
    except RuntimeError:
        raise UsageError(
            f"The processor cannot be split into {devices} devices: TensorFlow has already started. Start anew."
        ) from None
