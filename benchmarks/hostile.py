"""Damaged settings, records, models and data files by the thousand: exit codes, time, memory.

    python benchmarks/hostile.py [--examples 1000]

Runs `tests/test_hostile.py`, which tries a few of them in every run of the tests, with this many for each of its
properties (three times as many for some), and prints how many commands ran with which exit code.
"""

from __future__ import annotations

import argparse
import os
import resource
import sys
import time
from collections import Counter
from pathlib import Path

import pytest

TESTS = Path(__file__).parents[1] / "tests"


def main() -> int:
    """Run the properties and print figures; return pytest's exit code."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--examples", type=int, default=1000)
    options = parser.parse_args()
    os.environ["HOSTILE_EXAMPLES"] = str(options.examples)
    sys.path.insert(0, str(TESTS))
    import test_hostile as hostile

    codes: Counter[str] = Counter()
    run = hostile.main

    def counted(words: list[str]) -> int:
        code = run(words)
        codes[f"{words[0]}: {code}"] += 1
        return code

    class Counting:
        """Counts the commands of the test file that pytest imports."""

        def pytest_collection_modifyitems(self, items: list[pytest.Item]) -> None:
            for module in {item.getparent(pytest.Module).obj for item in items}:  # type: ignore[union-attr]
                module.main = counted

    start = time.perf_counter()
    words = [str(TESTS / "test_hostile.py"), "-q", "-p", "no:cacheprovider", "--timeout", "0"]
    result = pytest.main(words, plugins=[Counting()])
    memory = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1e3
    print(f"{codes.total():,} commands in {time.perf_counter() - start:.0f} s, {memory:.0f} MB at most")
    for name, num in sorted(codes.items()):
        print(f"  {name}: {num:,}")
    return int(result)


if __name__ == "__main__":
    sys.exit(main())
