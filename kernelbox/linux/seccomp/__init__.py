"""System call filters: which of the kernel's several hundred calls a program may make, and with which arguments
(seccomp(2)).

A filter is a small program of classic BPF that the kernel runs before every system call. It sees the call's number and
its six arguments, not what they point to, and answers: allow, fail with an errno, kill. Once loaded it can never be
removed, and children inherit it. Here a `Profile` says what is wanted, `compile` makes the program from it:

    >>> from kernelbox.linux import seccomp
    >>> profile = seccomp.default_profile(["CHOWN", "KILL"])
    >>> code = seccomp.compile(profile)                             # bytes, for the launcher's seccomp step
    >>> print(seccomp.listing(code)[:60])                           # and to read

A `Compare` looks at all 64 bits of an argument. Where the kernel takes an `int` it ignores the upper half, and a rule
that forbids a value can be walked around: the default profile therefore masks to the low 32 bits (MASKED_EQ), while the
rules of other profiles are taken as they are written.
"""

from __future__ import annotations

from kernelbox.linux.seccomp.bpf import listing
from kernelbox.linux.seccomp.compiler import compile, load  # noqa: A004 - the word for it, as in re.compile
from kernelbox.linux.seccomp.default import default_profile
from kernelbox.linux.seccomp.profile import Compare, Profile, Rule, from_oci

__all__ = [
    "Compare",
    "Profile",
    "Rule",
    "compile",
    "default_profile",
    "from_oci",
    "listing",
    "load",
]
