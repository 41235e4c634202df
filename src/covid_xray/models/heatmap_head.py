"""Compute Grad-CAM by forward operations, so that the exported graph gives heat maps without gradients at run time.

Grad-CAM (Selvaraju and others, ICCV 2017, arXiv:1610.02391) weighs the maps A_k of the last convolution by the mean
gradient of the class score: alpha_k = 1/hw * sum_xy dy_c/dA_k(x, y), and keeps ReLU(sum_k alpha_k A_k).
For every head that we build, that sum has a closed form:

* global average pooling: every position of A_k receives the same 1/hw of the gradient of its mean, so the sum over
  positions is the gradient of the mean itself;
* flatten and a dense layer: the sum over positions is the dense kernel summed over positions, once, at export;
* max-pooling between them passes each gradient to one position of its window, which leaves the sum as it is;
* hidden dense layers with ReLU: a product with their kernels, masked where the unit was off in the forward pass.

So alpha = 1/hw * S (m_1 * W_2 (m_2 * ... W_c)), a few small matrix products. `tests/models/test_heatmap_head.py` proves
it equal to automatic differentiation.
"""

from typing import Any

import keras
from keras import layers, ops

from covid_xray.models.two_step import POOL, class_kernel, is_two_step


class ClassMaps(layers.Layer):
    """Compute Grad-CAM of every class, N x C x h x w, zero or more, of features and hidden activations.

    Args:
        kernels: numpy matrices from the features to the scores: K x U1 (summed over positions), U1 x U2, ..., Un x C.
    """

    def __init__(self, kernels: list[Any], **kwargs: Any) -> None:
        super().__init__(trainable=False, dtype="float32", **kwargs)
        self.kernels = [
            self.add_weight(name=f"kernel{i}", shape=k.shape, initializer="zeros") for i, k in enumerate(kernels)
        ]
        for weight, kernel in zip(self.kernels, kernels, strict=True):
            weight.assign(kernel)
        self.built = True

    def call(self, inputs: list[Any]) -> Any:
        """Compute the maps; `inputs`: features N x h x w x K, then the hidden activations N x U in forward order."""
        features, *hidden = inputs
        _, height, width, channels = features.shape
        gradient = ops.transpose(self.kernels[-1])[None]  # 1 x C x U: one row of weights for each class
        for kernel, activation in zip(self.kernels[-2::-1], hidden[::-1], strict=True):
            mask = ops.cast(activation > 0, "float32")[:, None, :]
            gradient = ops.matmul(gradient * mask, ops.transpose(kernel))
        flat = ops.transpose(ops.reshape(features, (-1, height * width, channels)), (0, 2, 1))
        maps = ops.relu(ops.matmul(gradient / (height * width), flat))
        return ops.reshape(maps, (-1, self.kernels[-1].shape[1], height, width))


def with_class_maps(model: keras.Model) -> keras.Model:
    """Build the same network with three named outputs, as a snapshot of its weights: for export, not for training.

    Args:
        model: a float32 network of `zoo.build`: features, flatten or global average pooling, dense ReLU layers
            (and dropout) or none, softmax layer `probabilities`.

    Returns:
        A model from the same input to `probabilities` N x C, `class_maps` N x C x h x w (Grad-CAM, not normalised)
        and `embedding` N x D (the last hidden features); of a two-step network also `known` N x 1.
    """
    if is_two_step(model):
        pooled = model.get_layer(POOL)
        maps = ClassMaps(class_kernel(model), name="class_maps")([_features(pooled.input)])
        outputs = {**model.output, "class_maps": maps, "embedding": pooled.output}
        return keras.Model(model.input, outputs, name=model.name)
    dense, reducer = _head(model)
    features = _features(reducer.input)
    kernels = [keras.ops.convert_to_numpy(layer.kernel) for layer in dense]
    if isinstance(reducer, layers.Flatten):
        height, width, channels = reducer.input.shape[1:]
        kernels[0] = kernels[0].reshape(height * width, channels, -1).sum(axis=0)
    hidden = [layer.output for layer in dense[:-1]]
    maps = ClassMaps(kernels, name="class_maps")([features, *hidden])
    embedding = hidden[-1] if hidden else reducer.output
    outputs = {"probabilities": model.output, "class_maps": maps, "embedding": embedding}
    return keras.Model(model.input, outputs, name=model.name)


def _head(model: keras.Model) -> tuple[list[layers.Dense], layers.Layer]:
    """Find the dense layers in forward order, and the layer that turns maps into a vector."""
    dense: list[layers.Dense] = []
    for layer in reversed(model.layers):
        if isinstance(layer, layers.Flatten | layers.GlobalAveragePooling2D):
            return dense, layer
        if isinstance(layer, layers.Dense):
            dense.insert(0, layer)
        elif not isinstance(layer, layers.Dropout):
            break
    raise ValueError(
        f"No class maps for {model.name}: its head must be flatten or global average pooling, then dense layers."
    )


def _features(tensor: keras.KerasTensor) -> keras.KerasTensor:
    """Find the output of the last convolution: the tensor before dropout and max-pooling, which have no weights."""
    layer = tensor._keras_history.operation
    while isinstance(layer, layers.Dropout | layers.MaxPooling2D):
        tensor = layer.input
        layer = tensor._keras_history.operation
    return tensor
