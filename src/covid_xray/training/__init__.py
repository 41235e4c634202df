"""Train networks and export them as bundles. The only room that imports TensorFlow."""
