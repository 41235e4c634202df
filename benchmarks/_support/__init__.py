"""Helpers of the benchmarks and the experiments: result pages, meters, drawn inputs, clients."""
