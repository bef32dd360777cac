"""System call filters: which of the kernel's several hundred calls a program may make, and with which arguments
(seccomp(2)).

A filter is a small program of classic BPF that the kernel runs before every system call. It sees the call's number and
its six arguments, not what they point to, and answers: allow, fail with an errno, kill. Once loaded it can never be
removed, and children inherit it. Here a `Profile` says what is wanted, `compile` makes the program from it:

    >>> from kernelbox.linux import seccomp
    >>> profile = seccomp.default_profile(["CHOWN", "KILL"])
    >>> code = seccomp.compile(profile)                             # bytes, for the launcher's seccomp step
    >>> print(seccomp.listing(code)[:60])                           # and to read

Rules compare the low 32 bits where the kernel takes an `int`: it ignores the upper half of such an argument, so a
filter that looks at all 64 bits can be walked around.
"""

from __future__ import annotations

from kernelbox.linux.seccomp.bpf import listing
from kernelbox.linux.seccomp.compiler import compile, load  # noqa: A004 - the word for it, as in re.compile
from kernelbox.linux.seccomp.default import default_profile
from kernelbox.linux.seccomp.profile import Compare, Profile, Rule, from_docker_json, from_oci

__all__ = [
    "Compare",
    "Profile",
    "Rule",
    "compile",
    "default_profile",
    "from_docker_json",
    "from_oci",
    "listing",
    "load",
]
