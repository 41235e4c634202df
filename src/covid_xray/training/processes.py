"""Train one batch in several processes, on one machine or many: Keras on the JAX backend with DataParallel.

`MultiWorkerMirroredStrategy` does not work with Keras 3. Here every process iterates over the same batches and gives
the network its own share of each; JAX adds the gradients up. Every process then holds the same weights.
"""

from typing import Any

import numpy as np
from numpy.typing import NDArray

from covid_xray.errors import UsageError


def join(address: str, *, count: int, rank: int) -> None:
    """Join a group of processes that train together; call it before Keras or JAX is used in this process.

    Args:
        address: HOST:PORT of the process of rank 0.
        count: number of processes.
        rank: number of this process, from 0.

    Raises:
        UsageError: Keras runs on another backend.
    """
    import jax
    import keras

    if keras.backend.backend() != "jax":
        raise UsageError("Training in several processes needs Keras on JAX. Set KERAS_BACKEND=jax.")
    if count > 1:
        if jax.config.jax_platforms == "cpu":  # processors add up through gloo; GPUs need no setting
            jax.config.update("jax_cpu_collectives_implementation", "gloo")
        jax.distributed.initialize(address, count, rank)
    everywhere = keras.distribution.list_devices()
    keras.distribution.set_distribution(keras.distribution.DataParallel(devices=everywhere, auto_shard_dataset=False))


def count() -> int:
    """Return the number of processes that train together; 1 for a process by itself."""
    import keras

    if keras.backend.backend() != "jax" or keras.distribution.distribution() is None:
        return 1
    import jax

    return int(jax.process_count())


def broadcast(value: float) -> float:
    """Return the value of the first process in all of them; a process by itself keeps its own."""
    if count() == 1:
        return value
    from jax.experimental.multihost_utils import broadcast_one_to_all

    # As whole numbers, since JAX would cut it to 32 bits.
    return float(np.asarray(broadcast_one_to_all(np.array([value]).view(np.uint32))).view(np.float64)[0])


def share(*arrays: NDArray[np.float32]) -> tuple[NDArray[np.float32], ...]:
    """Take this process's share of a batch, whose size is a multiple of the number of processes."""
    import jax

    size = len(arrays[0]) // jax.process_count()
    mine = slice(jax.process_index() * size, (jax.process_index() + 1) * size)
    return tuple(array[mine] for array in arrays)


def predict_on_batch(model: Any, x: NDArray[np.float32]) -> NDArray[np.float32]:
    """Predict one whole batch in this process: all hold the same weights."""
    import jax

    def answer(trained: Any, others: Any, batch: Any) -> Any:
        return model.stateless_call(trained, others, batch, training=False)[0]

    if not hasattr(model, "_answer_here"):
        model._answer_here = jax.jit(answer)
    values = [
        [np.asarray(v.value) for v in group] for group in (model.trainable_variables, model.non_trainable_variables)
    ]
    return np.asarray(model._answer_here(*values, x))
