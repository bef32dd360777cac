"""-v, --mount and --tmpfs in all their spellings."""

from __future__ import annotations

from pathlib import Path

import pytest

from kernelbox.engine.options import RunOptions
from kernelbox.errors import InvalidOption, NotSupported
from kernelbox.oci.runtime_spec import Mount

READ_ONLY = ("rbind", "rprivate", "ro", "rro")


def bind(*options: str, source: str = "/src", target: str = "/dst") -> Mount:
    return Mount(target, "bind", source, options or ("rbind", "rprivate"))


@pytest.mark.parametrize(
    ("given", "mount"),
    [
        ("/src:/dst", bind()),
        ("/src/:/dst/", bind()),
        ("/a/../src:/dst", bind()),
        ("/src:/dst:rw", bind()),
        ("/src:/dst:ro", bind(*READ_ONLY)),
        ("/src:/dst:ro,rslave", bind("rbind", "rslave", "ro", "rro")),
        ("/src:/dst:ro,bind", bind("bind", "rprivate", "ro")),
        ("/src:/dst:noexec,nosuid", bind("rbind", "rprivate", "noexec", "nosuid")),
        ({"/src": {"bind": "/dst", "mode": "ro"}}, bind(*READ_ONLY)),
        ({"/src": {"bind": "/dst"}}, bind()),
        ({"/src": {"bind": "/dst", "mode": "rw", "propagation": "shared"}}, bind("rbind", "shared")),
        ({"/src": "/dst"}, bind()),
        ({Path("/src"): Path("/dst")}, bind()),
        ([Path("/src:/dst")], bind()),
        ("/src:/proc/cpuinfo", bind(target="/proc/cpuinfo")),
    ],
)
def test_volumes(given: object, mount: Mount) -> None:
    assert RunOptions.make(volumes=given).volumes == (mount,)


def test_relative_and_home_sources(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("HOME", "/home/me")
    mounts = RunOptions.make(volumes=["./data:/a", ".:/b", "../x:/c", "~/d:/d", "~:/e"]).volumes
    here = str(tmp_path)
    assert [mount.source for mount in mounts] == [
        f"{here}/data",
        here,
        str(tmp_path.parent / "x"),
        "/home/me/d",
        "/home/me",
    ]


@pytest.mark.parametrize("word", ["z", "Z", "cached", "delegated", "consistent"])
def test_what_is_ignored_is_said(word: str) -> None:
    options = RunOptions.make(volumes=f"/src:/dst:{word}")
    assert options.volumes == (bind(),)
    (note,) = options.notes
    assert note.startswith(f"the mount option '{word}' of /dst is ignored: ")


@pytest.mark.parametrize(
    ("given", "mount"),
    [
        ("type=bind,source=/src,target=/dst", bind()),
        ("type=bind,src=/src,dst=/dst,readonly", bind(*READ_ONLY)),
        ("type=bind,src=/src,destination=/dst,ro=true,bind-propagation=rshared", bind("rbind", "rshared", "ro", "rro")),
        ("type=bind,src=/src,dst=/dst,readonly=false", bind()),
        ("type=bind,src=/src,dst=/dst,bind-nonrecursive,ro", bind("bind", "rprivate", "ro")),
        ("type=bind,src=/src,dst=/dst,bind-recursive=disabled", bind("bind", "rprivate")),
        ("type=bind,src=/src,dst=/dst,ro,bind-recursive=writable", bind("rbind", "rprivate", "ro")),
        ("type=bind,src=/src,dst=/dst,ro,bind-recursive=readonly", bind(*READ_ONLY)),
        ("type=bind,src=/src,dst=/dst,bind-recursive=enabled,bind-nonrecursive=false", bind()),
        ("type=bind,src=/src,dst=/dst,bind-recursive=disabled,bind-nonrecursive", bind("bind", "rprivate")),
        ("type=bind,src=/src,dst=/dst,consistency=cached", bind()),
        ('type=bind,"src=/a,b",dst=/dst', bind(source="/a,b")),
        (
            {
                "Type": "bind",
                "Source": "/src",
                "Target": "/dst",
                "ReadOnly": True,
                "BindOptions": {"Propagation": "slave"},
            },
            bind("rbind", "slave", "ro", "rro"),
        ),
        (
            {"Type": "bind", "Source": "/src", "Target": "/dst", "BindOptions": {"NonRecursive": True}},
            bind("bind", "rprivate"),
        ),
        (
            {
                "Type": "bind",
                "Source": "/src",
                "Target": "/dst",
                "ReadOnly": True,
                "BindOptions": {"ReadOnlyNonRecursive": True},
            },
            bind("rbind", "rprivate", "ro"),
        ),
        (
            "type=tmpfs,target=/t,tmpfs-size=1m,tmpfs-mode=1777",
            Mount("/t", "tmpfs", "tmpfs", ("noexec", "nosuid", "nodev", "size=1048576", "mode=1777", "rprivate")),
        ),
        (
            {"Type": "tmpfs", "Target": "/t", "TmpfsOptions": {"SizeBytes": 4096, "Mode": 0o700}},
            Mount("/t", "tmpfs", "tmpfs", ("noexec", "nosuid", "nodev", "size=4096", "mode=700", "rprivate")),
        ),
    ],
)
def test_long_mounts(given: object, mount: Mount) -> None:
    assert RunOptions.make(mounts=given).mounts == (mount,)
    assert RunOptions.make(mounts=[given]).mounts == (mount,)


@pytest.mark.parametrize(
    ("given", "target", "options"),
    [
        ("/t", "/t", ("noexec", "nosuid", "nodev")),
        ("/t:size=64m", "/t", ("noexec", "nosuid", "nodev", "size=67108864")),
        ("/t:size=50%", "/t", ("noexec", "nosuid", "nodev", "size=50%")),
        ("/t:rw,exec,dev", "/t", ("nosuid", "rw", "exec", "dev")),
        ("/t:exec,noexec", "/t", ("nosuid", "nodev", "noexec")),
        ("/t:uid=1000,gid=5,mode=0700", "/t", ("noexec", "nosuid", "nodev", "uid=1000", "gid=5", "mode=0700")),
        ({"/t": "ro"}, "/t", ("noexec", "nosuid", "nodev", "ro")),
        ({"/t": ""}, "/t", ("noexec", "nosuid", "nodev")),
        ({"/t": None}, "/t", ("noexec", "nosuid", "nodev")),
    ],
)
def test_tmpfs(given: object, target: str, options: tuple[str, ...]) -> None:
    assert RunOptions.make(tmpfs=given).tmpfs == (Mount(target, "tmpfs", "tmpfs", (*options, "rprivate")),)


@pytest.mark.parametrize(
    ("given", "message"),
    [
        ({"volumes": "/src:dst"}, "volumes: 'dst' is not an absolute path"),
        ({"volumes": "/src:/a/../../etc"}, "volumes: '/a/../../etc' contains '..'"),
        ({"volumes": "/src:/"}, "volumes: the target '/' is the container's root"),
        ({"volumes": "/src:/."}, "volumes: the target '/' is the container's root"),
        ({"volumes": "/src:/proc"}, "volumes: the target '/proc' is inside /proc"),
        ({"volumes": "/src:/proc/sys/kernel"}, "volumes: the target '/proc/sys/kernel' is inside /proc"),
        ({"volumes": "/src:/dst:ro:x"}, "volumes: '/src:/dst:ro:x' is not SOURCE:TARGET"),
        ({"volumes": ":/dst"}, "volumes: ':/dst' is not SOURCE:TARGET"),
        ({"volumes": "/src:/dst:or"}, "volumes: unknown mount option 'or' for /dst"),
        ({"volumes": "/src:/dst:nocopy"}, "volumes: unknown mount option 'nocopy'"),
        ({"volumes": "/s\0rc:/dst"}, "volumes: '/s\\x00rc:/dst' contains a NUL character"),
        ({"volumes": {"/src": 5}}, "volumes: '/src': expected a target, got 5"),
        ({"mounts": "type=bind,source=/src"}, "mounts: 'type=bind,source=/src' has no target"),
        ({"mounts": "type=bind,target=/dst"}, "mounts: the bind mount on /dst has no source"),
        ({"mounts": "type=bound,src=/src,dst=/dst"}, "mounts: unknown mount type 'bound'"),
        ({"mounts": "type=bind,sourc=/src,dst=/dst"}, "mounts: unknown key 'sourc'"),
        ({"mounts": "type=bind,src,dst=/dst"}, "mounts: 'src' in 'type=bind,src,dst=/dst' has no value"),
        ({"mounts": "type=bind,src=/s,dst=/d,tmpfs-size=1"}, "mounts: size cannot be given for the bind mount on /d"),
        (
            {"mounts": "type=tmpfs,dst=/d,bind-propagation=shared"},
            "mounts: propagation cannot be given for the tmpfs",
        ),
        ({"mounts": "type=bind,src=/s,dst=/d,bind-propagation=open"}, "mounts: unknown mount option 'open'"),
        ({"mounts": "type=bind,src=/s,dst=d"}, "mounts: 'd' is not an absolute path"),
        ({"mounts": 5}, "mounts: expected mounts, got 5"),
        (
            {"mounts": "type=bind,src=/s,dst=/d,bind-recursive=disable"},
            "mounts: bind-recursive=disable is none of enabled, disabled, writable, readonly (hint: did you mean",
        ),
        ({"mounts": {"bind-recursive": [], "type": "bind", "src": "/s", "dst": "/d"}}, "mounts: bind-recursive=[] is"),
        (
            {"mounts": "type=bind,src=/s,dst=/d,bind-recursive=enabled,bind-nonrecursive"},
            "mounts: bind-nonrecursive and bind-recursive=enabled contradict each other",
        ),
        (
            {"mounts": "type=bind,src=/s,dst=/d,bind-recursive=writable"},
            "mounts: bind-recursive=writable needs readonly too",
        ),
        (
            {"mounts": "type=bind,src=/s,dst=/d,bind-recursive=readonly"},
            "mounts: bind-recursive=readonly needs readonly too",
        ),
        (
            {"mounts": "type=bind,src=/s,dst=/d,ro,bind-recursive=readonly,bind-propagation=shared"},
            "mounts: bind-recursive=readonly needs bind-propagation=rprivate",
        ),
        (
            {"mounts": '"type=bind"\n,src=/s,dst=/d'},
            "mounts: '\"type=bind\"\\n,src=/s,dst=/d' is not a list with commas",
        ),
        ({"mounts": 'type=bind,"src=/s,dst=/d'}, "mounts: 'type=bind,\"src=/s,dst=/d' is not a list with commas"),
        ({"mounts": {"Target": "/t", "BindOptions": "shared"}}, "mounts: BindOptions: expected a dict, got 'shared'"),
        ({"mounts": {"Target": "/t", "TmpfsOptions": [1]}}, "mounts: TmpfsOptions: expected a dict, got [1]"),
        (
            {"mounts": {"Target": "/t", "BindOptions": {"ReadOnlyNonRecursive": 1, "ReadOnlyForceRecursive": 1}}},
            "mounts: only one of ReadOnlyNonRecursive and ReadOnlyForceRecursive can be given",
        ),
        (
            {"mounts": {"Type": "tmpfs", "Target": "/t", "TmpfsOptions": {"Mode": "rwx"}}},
            "mounts: expected a whole number, got 'rwx'",
        ),
        ({"volumes": "/src:/dst:ro,rw"}, "volumes: only one of 'ro' and 'rw' can be given for /dst"),
        ({"volumes": "/src:/dst:rw,readonly"}, "volumes: only one of 'rw' and 'readonly' can be given for /dst"),
        ({"volumes": "/src:/dst:bind,rbind"}, "volumes: only one of 'bind' and 'rbind' can be given for /dst"),
        ({"volumes": "/src:/dst:z,Z"}, "volumes: only one of 'z' and 'Z' can be given for /dst"),
        ({"volumes": "/src:/dst:exec,noexec"}, "volumes: only one of 'exec' and 'noexec' can be given for /dst"),
        (
            {"volumes": {"/src": {"bind": "/dst", "mode": "ro,shared", "propagation": "slave"}}},
            "volumes: only one of 'shared' and 'slave' can be given for /dst",
        ),
        ({"mounts": {"Nope": 1, "Target": "/t"}}, "mounts: unknown key 'Nope' in a mount"),
        ({"tmpfs": "t"}, "tmpfs: 't' is not an absolute path"),
        ({"tmpfs": "/t:sise=1"}, "tmpfs: unknown tmpfs option 'sise=1' for /t (hint: did you mean 'size'?)"),
        ({"tmpfs": "/t:size=x"}, "tmpfs: 'x' is not a size"),
        ({"tmpfs": "/t:size=101%"}, "tmpfs: 101 is not between 1 and 100"),
        ({"tmpfs": "/t:mode=9"}, "tmpfs: '9' is not an octal mode"),
        ({"tmpfs": "/t:uid=4294967295"}, "tmpfs: 4294967295 is not between"),
        ({"volumes": "/a:/t", "tmpfs": "/t/"}, "tmpfs: '/t' is the target of two mounts"),
        ({"volumes": ["/a:/t", "/b:/t"]}, "volumes: '/t' is the target of two mounts"),
    ],
)
def test_what_cannot_be_meant(given: dict[str, object], message: str) -> None:
    with pytest.raises(InvalidOption) as caught:
        RunOptions.make(**given)
    assert str(caught.value).startswith(message)


def test_images_as_mounts_come_later() -> None:
    with pytest.raises(NotSupported) as caught:
        RunOptions.make(mounts="type=image,src=name,dst=/dst")
    assert caught.value.hint


@pytest.mark.parametrize(
    "given", [{"volumes": "~nobody-has-this-name/x:/dst"}, {"mounts": "type=bind,src=name,dst=/dst"}]
)
def test_what_is_no_path_of_the_machine(given: dict[str, object]) -> None:
    with pytest.raises(InvalidOption, match="is no path of the machine") as caught:
        RunOptions.make(**given)
    assert caught.value.hint
