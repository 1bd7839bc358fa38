"""For all of the suite's own tests."""


def pytest_configure(config):
    """A warning is a failure here; an operator's run goes on."""
    config.addinivalue_line("filterwarnings", "error")
