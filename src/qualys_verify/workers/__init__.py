"""Beyond one process: pytest-xdist's workers (`-n`, `--tx`), each with all tests of its hosts."""
