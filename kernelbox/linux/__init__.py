"""What the Linux kernel offers to containers, one module per facility, each usable alone.

`cgroups` limits and counts, `namespaces` and `idmap` give a process its own view, `mounts`, `overlay` and `mountinfo`
its own file system, `capabilities`, `seccomp`, `devices` and `rlimits` take rights away, `netlink` sets up its network,
`pty` its terminal; `features` says what this kernel can do. Start with any module's docstring:
`help(kernelbox.linux.cgroups)`.
"""
