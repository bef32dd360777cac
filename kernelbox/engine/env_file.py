"""`--env-file`: one NAME=VALUE a line, `#` comments, nothing is expanded or unquoted (as in `docker run`)."""

from __future__ import annotations

from kernelbox.errors import InvalidOption

MAX_BYTES = 4 << 20


def read(path: str) -> tuple[str, ...]:
    """The entries of the file; a NAME alone stays so. Raises InvalidOption that names file and line."""
    try:
        with open(path, "rb") as file:
            content = file.read(MAX_BYTES + 1)
    except OSError as error:
        raise InvalidOption(f"cannot read {path!r}: {(error.strerror or 'unknown').lower()}") from None
    if len(content) > MAX_BYTES:
        raise InvalidOption(f"{path!r} is larger than {MAX_BYTES >> 20} MiB")
    return parse(content, path)


def parse(content: bytes, path: str) -> tuple[str, ...]:
    """The entries in `content`; `path` names it in errors."""
    try:
        text = content.decode("utf-8-sig")
    except UnicodeDecodeError:
        raise InvalidOption(f"{path!r} is not UTF-8 text") from None
    entries = []
    for number, line in enumerate(text.split("\n"), 1):
        entry = line.removesuffix("\r").lstrip()
        if not entry or entry.startswith("#"):
            continue
        name = entry.partition("=")[0]
        if not name or any(letter.isspace() for letter in name) or "\0" in entry:
            raise InvalidOption(f"line {number} of {path!r} is not NAME=VALUE: {entry[:60]!r}")
        entries.append(entry)
    return tuple(entries)
