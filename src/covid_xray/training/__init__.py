"""A manifest and a model in, a run folder with its bundle out. The only floor that runs TensorFlow."""
