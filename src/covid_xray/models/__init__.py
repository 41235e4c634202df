"""Names in, `keras.Model` out. Only `keras.ops`, so that every Keras backend runs it."""
