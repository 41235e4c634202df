"""Build Keras networks by name. Only `keras.ops` is used, so that they run on every Keras backend."""
