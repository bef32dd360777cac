"""`kernelbox version`: what exactly is running."""

from __future__ import annotations

import os
import platform

import click

from kernelbox import __version__

__all__ = ["command"]


@click.command("version", help="Show the version of kernelbox, of its C part, of Python and of the kernel.")
def command() -> None:
    click.echo(f"kernelbox  {__version__}")
    from kernelbox.native import ffi, lib

    system = os.uname()
    click.echo(f"monitor    {ffi.string(lib.kb_version()).decode()}")
    click.echo(f"python     {platform.python_version()}")
    click.echo(f"kernel     {system.sysname} {system.release} {system.machine}")
