"""The operations runbook of the Qualys Cloud Agent as an executable pytest suite."""
