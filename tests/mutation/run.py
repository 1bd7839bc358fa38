"""The mutation proof: change the code in one place at a time, and see that a test fails (`tox -e mutants`).

`python -m tests.mutation.run [PART …]`: only modules whose path contains one of the parts. Works on copies of the
checkout, one for each core.
"""

import os
import shutil
import sys
import tempfile
from collections import Counter
from concurrent.futures import ProcessPoolExecutor
from contextlib import redirect_stderr, redirect_stdout
from dataclasses import dataclass
from difflib import unified_diff
from multiprocessing import get_context
from pathlib import Path

import hypothesis.strategies  # noqa: F401  # at hand for every fork
import pytest
import testinfra.plugin  # noqa: F401  # the same
from cosmic_ray.ast import ast_nodes, get_ast
from cosmic_ray.mutating import use_mutation

import qualys_verify.plugin  # noqa: F401  # for the libraries that it brings
from tests.mutation.operators import OPERATORS

CHECKOUT = Path(__file__).parents[2]
NEEDED = ("conftest.py", "pyproject.toml", "fixtures", "src", "tests", "tests_agent")
LEAST = 0.9

# Each scope's modules, and the tests that are to see a change of it: those of the module itself, then the others.
# Left out are those of how long something may take: they take longest, and no mutant is only slow.
AGENT, RUNBOOK = "tests/agent", "tests/runbook"
# Those of the agent in a container that need neither engine nor cluster.
CONTAINED = [
    f"tests/containers/test_{name}.py"
    for name in ("container", "observed_container", "processes_in_containers")
]
SCOPES = {
    "tests_agent": ("tests_agent/test_*.py", [f"{RUNBOOK}/test_sentences.py"]),
    "fixtures": ("fixtures/*.py", [f"{RUNBOOK}/test_observed_{{name}}", RUNBOOK, *CONTAINED]),
    "agent": (
        "src/qualys_verify/agent/*.py",
        [
            f"{AGENT}/test_{{name}}",
            "tests/containers/test_{name}",
            f"{AGENT}/test_values.py",
            RUNBOOK,
            *CONTAINED,
        ],
    ),
    "verdict": ("src/qualys_verify/verdict.py", ["tests/unit/test_verdict.py"]),
}
PYTEST = ("-x", "-q", "--no-header", "--tb=no", "-p", "no:xdist", "-k", "not takes_no_time")
OURS = {"fixtures", "qualys_verify", "tests", "tests_agent"}
SECONDS = 60


@dataclass(frozen=True)
class Mutant:
    """One change: which operator, and at which of the places that it finds in a module."""

    scope: str
    module: str
    operator: str
    occurrence: int
    tests: tuple[str, ...]


def mutants(source: Path, parts: list[str]) -> list[Mutant]:
    """Every change of every module in scope, if its path has one of the parts."""
    found = []
    for scope, (modules, tests) in SCOPES.items():
        for path in sorted(source.glob(modules)):
            module = str(path.relative_to(source))
            if path.name == "__init__.py" or not any(part in module for part in parts or [""]):
                continue
            own = [test.format(name=path.name) for test in tests]
            there = tuple(dict.fromkeys(test for test in own if (source / test).exists()))
            nodes = list(ast_nodes(get_ast(path.read_text())))
            for name, operator in OPERATORS.items():
                count = sum(len(list(operator.mutation_positions(node))) for node in nodes)
                found += [Mutant(scope, module, name, number, there) for number in range(count)]
    return found


def copy(source: Path, folder: Path) -> Path:
    """What the tests need of a checkout, in a new folder."""
    home = Path(tempfile.mkdtemp(dir=folder))
    for name in NEEDED:
        if (source / name).is_dir():
            shutil.copytree(source / name, home / name)
        else:
            shutil.copy2(source / name, home)
    return home


def settle(source: Path) -> None:
    """Give this process a copy for its own, which keeps the bytecode of what is not changed."""
    move(copy(source, source.parent))
    sys.dont_write_bytecode = True  # two changes within a second may have the same size


def move(home: Path) -> None:
    """Run and import what is in this folder."""
    os.chdir(home)
    sys.path[:0] = [str(home), str(home / "src")]


def passes(*tests: str) -> bool:
    """Whether the tests pass on this process's copy, as it is now."""
    # A fork has all libraries at hand, which is most of what a small test run takes.
    process = get_context("fork").Process(target=run_pytest, args=(tests,))
    process.start()
    process.join(SECONDS)
    if process.is_alive():
        process.kill()
        process.join()
    return process.exitcode == 0


def run_pytest(tests: tuple[str, ...]) -> None:
    """Run tests in a process that has seen nothing of the checkout itself, and end with pytest's status."""
    for name in [name for name in sys.modules if name.partition(".")[0] in OURS]:
        del sys.modules[name]
    sys.path[:] = [place for place in sys.path if not is_of_checkout(Path(place))]
    with Path(os.devnull).open("w") as nowhere, redirect_stdout(nowhere), redirect_stderr(nowhere):
        status = pytest.main([*PYTEST, *tests])
    os._exit(status)


def is_of_checkout(place: Path) -> bool:
    """Whether code of ours is imported from there; the libraries of a `.venv` in the checkout are not."""
    return place.is_relative_to(CHECKOUT) and not place.is_relative_to(sys.prefix)


def survives(mutant: Mutant) -> str:
    """What was changed, as a diff, when no test saw it; otherwise nothing."""
    path = Path(mutant.module)
    with use_mutation(path, OPERATORS[mutant.operator], mutant.occurrence) as (before, after):
        if after is None or after == before:
            raise RuntimeError(f"{mutant} changes nothing")
        if not all(map(passes, mutant.tests)):
            return ""
    lines = unified_diff(
        before.splitlines(), after.splitlines(), mutant.module, mutant.operator, lineterm="", n=0
    )
    return "\n".join(lines)


def say(text: str) -> None:
    """A line for whoever waits, at once."""
    sys.stdout.write(f"{text}\n")
    sys.stdout.flush()


def main(parts: list[str]) -> int:
    """Run all of it; 0 when enough mutants were seen."""
    with tempfile.TemporaryDirectory(prefix="mutants-") as folder:
        source = copy(CHECKOUT, Path(folder))  # whoever edits the checkout meanwhile is not in the way
        move(source)
        found = mutants(source, parts)
        if not passes(*{test: None for mutant in found for test in mutant.tests}):
            say("The tests fail before anything is changed.")
            return 2
        killed = Counter[str]()
        with ProcessPoolExecutor(os.cpu_count(), initializer=settle, initargs=(source,)) as pool:
            for mutant, diff in zip(found, pool.map(survives, found), strict=True):
                killed[mutant.scope] += not diff
                if diff:
                    say(f"{diff}\n")
    total = Counter(mutant.scope for mutant in found)
    for scope, count in total.items():
        say(f"{scope:<12} {count:>5} mutants, {killed[scope]:>5} killed, {killed[scope] / count:.1%}")
    score = killed.total() / total.total()
    say(f"{'all':<12} {total.total():>5} mutants, {killed.total():>5} killed, {score:.1%}")
    return 0 if score >= LEAST else 1


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
