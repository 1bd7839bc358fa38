"""Real systemd hosts on one machine, for the suite's own tests; see README.md beside this file."""
