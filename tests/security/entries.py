"""What an entry of the catalogue is, and where its tests are."""

from __future__ import annotations

from dataclasses import dataclass

KERNEL, UNIT, FAULTS = "tests/kernel", "tests/unit", "tests/faults"
EXEC, OUTPUT = "tests/security/test_exec.py", "tests/security/test_output.py"
FILES, BETWEEN = "tests/security/test_files.py", "tests/security/test_between.py"
IMAGES = "tests/security/test_images.py"
FUSE, ACCOUNTS = "tests/security/test_fuse.py", "tests/security/test_accounts.py"


@dataclass(frozen=True)
class Entry:
    """`tests` are "file::function". `waits_for` is a path of the source that does not exist yet."""

    number: str
    rule: str
    tests: tuple[str, ...] = ()
    waits_for: str = ""


def tested(number: str, rule: str, *tests: str) -> Entry:
    return Entry(number, rule, tests)


def waits(number: str, rule: str, waits_for: str) -> Entry:
    return Entry(number, rule, waits_for=waits_for)
