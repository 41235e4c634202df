"""Evaluate a bundle on a manifest: metrics, figures, report and audit."""
