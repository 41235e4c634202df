"""Learn what is ill within each hospital, so that nothing constant in a hospital can pay."""
