"""Cross-validate: train the folds and pool their predictions."""
