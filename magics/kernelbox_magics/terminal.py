"""A program's bytes, made into text that a notebook shows as a terminal would.

Notebook front ends understand colours (`ESC [ … m`) and the carriage return. What else terminals obey, they print as
rubbish: window titles (OSC), the bell, character set switches. See ECMA-48 and console_codes(4).
"""

from __future__ import annotations

import codecs
import re

LONGEST_STRING = 4096
"""Characters after which an OSC or DCS string without an end is taken for ordinary text."""

_CSI = r"\x1b\[[0-?]*[ -/]*[@-~]"
_STRING = rf"\x1b[\]PX^_][^\x07\x1b\n]{{0,{LONGEST_STRING}}}(?:\x07|\x1b\\)"
_CHARSET = r"\x1b[()*+\-./%#][ -~]"
_REST = r"\x1b[\]PX^_]?\[?|[\x00-\x07\x0b-\x0c\x0e-\x1a\x1c-\x1f\x7f-\x9f]"
_SEQUENCES = re.compile(rf"(?P<keep>{_CSI})|{_STRING}|{_CHARSET}|\x1b[0-9=><A-OQ-WYZ`-~]|{_REST}")
_UNFINISHED = re.compile(rf"\x1b(?:\[[0-?]*[ -/]*|[\]PX^_][^\x07\x1b\n]{{0,{LONGEST_STRING}}}\x1b?|[()*+\-./%#])?\Z")


class TerminalText:
    """Decodes a stream piece by piece; a character or sequence that is cut in two comes out with its second half."""

    def __init__(self) -> None:
        self._decoder = codecs.getincrementaldecoder("utf-8")("replace")
        self._held = ""

    def feed(self, chunk: bytes, *, final: bool = False) -> str:
        """The text of `chunk` and of what was held back; with `final` nothing is held back."""
        text = self._held + self._decoder.decode(chunk, final)
        self._held = ""
        if not final and (cut := _UNFINISHED.search(text, max(0, len(text) - LONGEST_STRING - 4))):
            text, self._held = text[: cut.start()], text[cut.start() :]
        return _SEQUENCES.sub(lambda found: found["keep"] or "", text)

    def restart(self) -> None:
        """Forget what was held back: the next piece does not follow the last one."""
        self._decoder.reset()
        self._held = ""
