from __future__ import annotations

import os

import pytest

from kernelbox.linux.descriptor import Descriptor


def test_closed_at_the_end_of_the_block() -> None:
    with Descriptor(os.open("/dev/null", os.O_RDONLY)) as descriptor:
        fd = descriptor.fileno()
        os.fstat(fd)
    with pytest.raises(OSError, match="Bad file descriptor"):
        os.fstat(fd)
    with pytest.raises(ValueError, match="closed"):
        descriptor.fileno()
    descriptor.close()


def test_taken_it_stays_open() -> None:
    with Descriptor(os.open("/dev/null", os.O_RDONLY)) as descriptor:
        fd = descriptor.take()
    os.close(fd)
