"""The routes of /api/v1 and /healthz, /readyz, /metrics."""
