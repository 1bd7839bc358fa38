"""The limit of open files, in a process of its own."""

import subprocess
import sys

import pytest

ASK = """
import resource, sys
from qualys_verify.sockets import make_room
resource.setrlimit(resource.RLIMIT_NOFILE, (int(sys.argv[1]), int(sys.argv[2])))
print(make_room(int(sys.argv[3])), *resource.getrlimit(resource.RLIMIT_NOFILE))
"""


@pytest.mark.parametrize(
    ("soft", "hard", "connections", "said"),
    [
        (1000, 2000, 100, "True 1000 2000"),
        (1000, 2000, 1500, "True 1700 2000"),
        (1000, 2000, 1801, "False 1000 2000"),
    ],
)
def test_the_limit_is_raised_as_far_as_it_must_and_may_be(soft, hard, connections, said):
    words = [sys.executable, "-c", ASK, str(soft), str(hard), str(connections)]
    assert subprocess.check_output(words, text=True).strip() == said
