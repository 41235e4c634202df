"""One batch over several devices: TensorFlow's MirroredStrategy on this machine, `processes` over many.

Keras 3 hands every replica the whole batch in `train_on_batch`, so the batch is dealt out here. The mean over the
replicas is the mean over the batch: shares are equal, and what fills up the last one weighs nothing.
"""

import contextlib
from typing import Any

import numpy as np
from numpy.typing import NDArray

from covid_xray.errors import UsageError
from covid_xray.training import processes


def scope(devices: int) -> contextlib.AbstractContextManager[Any]:
    """What a network is built in, to be trained on so many devices: GPUs, or shares of the processor.

    Raises:
        UsageError: TensorFlow is not the backend, there are too few GPUs, or its devices were fixed before.
    """
    return contextlib.nullcontext() if devices == 1 else _strategy(devices).scope()


def train_on_batch(
    model: Any, x: NDArray[np.float32], y: NDArray[np.float32], *, weight: NDArray[np.float32]
) -> dict[str, Any]:
    """One step, as `model.train_on_batch(..., return_dict=True)`, on all devices or processes that train it."""
    count = replicas(model)
    if together := processes.count() > 1:
        count = processes.count()
    x, y, weight = filled(x, y, weight, count)
    if together:
        x, y, weight = processes.share(x, y, weight)
    if together or count == 1:
        return dict(model.train_on_batch(x, y, sample_weight=weight, return_dict=True))
    model.make_train_function()
    shares = _dealt(model.distribute_strategy, (x, y, weight), count)
    logs = model.train_function(iter([shares]))
    return {name: float(value) for name, value in logs.items()}


def predict_on_batch(model: Any, x: NDArray[np.float32]) -> NDArray[np.float32]:
    """Outputs for one batch, as `model.predict_on_batch`; one device answers."""
    if processes.count() > 1:
        return processes.predict_on_batch(model, x)
    if replicas(model) == 1:
        return np.asarray(model.predict_on_batch(x))
    # Through the strategy each replica would answer the whole batch, and all answers would be strung together.
    return np.asarray(model(x, training=False))


def replicas(model: Any) -> int:
    """How many devices the network was built for."""
    strategy = getattr(model, "distribute_strategy", None)
    return int(strategy.num_replicas_in_sync) if strategy is not None else 1


def filled(
    x: NDArray[np.float32], y: NDArray[np.float32], weight: NDArray[np.float32], count: int
) -> tuple[NDArray[np.float32], NDArray[np.float32], NDArray[np.float32]]:
    """The batch with a multiple of `count` images, and the same mean loss.

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


def _dealt(strategy: Any, arrays: tuple[NDArray[np.float32], ...], count: int) -> tuple[Any, ...]:
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
        raise UsageError("expected the TensorFlow backend for several devices of one machine. Received: another")
    import tensorflow as tf

    cards = tf.config.list_physical_devices("GPU")
    if not cards:
        _share_processor(tf, devices)
    elif len(cards) < devices:
        raise UsageError(f"expected {devices} GPUs. Received: {len(cards)}")
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
            f"expected {devices} devices to be asked for before TensorFlow has begun. Received: one in which it has"
        ) from None
