"""Measured comparisons with what a user would pick instead, and a soak; `python -m bench --help`."""
