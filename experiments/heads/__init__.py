"""Compare linear heads on frozen ImageNet features, above all on hospitals that were left out of training."""
