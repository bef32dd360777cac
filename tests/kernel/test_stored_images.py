"""Containers of images of several layers, in both forms that layers have: what the layers say together is what is seen,
and what the image says of running it is done."""

from __future__ import annotations

import struct
from pathlib import Path

import pytest
from kernel.stored import Load, base, box, form, load
from layer_archives import Archive

from kernelbox import Engine
from kernelbox.engine.container import Container
from kernelbox.errors import InvalidOption
from kernelbox.linux.features import probe

__all__ = ["base", "box", "form", "load"]

pytestmark = [pytest.mark.kernel, pytest.mark.root]

CAP_CHOWN = 1 << 0
SET_USER_ID = 1 << 23
"""As PathStat has it."""
USERNS = (*((None,) if probe().idmapped_mounts else ()), "host")


def with_capability(bits: int) -> dict[str, bytes]:
    """The attribute of a file whose program has these (capabilities(7), version 2), in force from its start."""
    return {"security.capability": struct.pack("<5I", 0x02000001, bits, 0, 0, 0)}


def layers() -> list[Archive]:
    first = Archive().folder("a", 0o750, owner=(7, 8)).add("a/one", b"one").add("a/two", b"two").folder("full")
    first.add("full/old", b"old").add("file", b"file of the first").folder("folder").add("folder/inner", b"inner")
    first.add("kept", b"first", mode=0o640, owner=(1000, 50), mtime=1_500_000_000).hard_link("again", "kept")
    a = Archive().folder("a", 0o750, mtime=2, owner=(7, 8)).without_end()
    second = Archive().raw(a).add("a/.wh.one").folder("full").add("full/.wh..wh..opq").add("full/new", b"new")
    second.add(".wh.file").add(".wh.folder").symlink("link", "/a/two").add("deep/er/est", b"deep")
    third = Archive().raw(a).folder("file").add("file/inner", b"now a folder").add("folder", b"now a file")
    third.add("a/three", b"three", mode=0o4711, owner=(3, 4)).add("deep/er/.wh.est").add("deep/er/.wh.missing")
    return [first, second, third]


def test_what_layers_say_together(box: Engine, load: Load) -> None:
    """Whichever ids a container has, and whatever others did before it."""
    load("lab:1", *layers())
    script = """
    cd /; ls a full file deep/er; cat full/new file/inner folder link
    stat -c '%n %a %u:%g %Y' a kept again; stat -c '%n %a %u:%g' a/three; [ kept -ef again ] && echo same
    """
    seen = [
        *("a:", "three", "two", "", "deep/er:", "", "file:", "inner", "", "full:", "new"),
        "newnow a foldernow a filetwoa 750 7:8 2",
        "kept 640 1000:50 1500000000",
        "again 640 1000:50 1500000000",
        "a/three 4711 3:4",
        "same",
        "",
    ]
    writes = "cd /; echo mine > kept; rm -r full a; mkdir full; chown 5:6 file; ls full; cat again"
    for userns in USERNS:
        assert box.run("lab:1", ["sh", "-c", script], userns=userns, check=True).stdout.split("\n") == seen
        for _ in range(2):
            assert box.run("lab:1", ["sh", "-c", writes], userns=userns, check=True).stdout == "first"


def test_programs_with_rights(box: Engine, load: Load, busybox_rootfs: Path) -> None:
    """Of a file's owner, of its group, and capabilities: whoever wrote the layer could give them inside, and only
    there."""
    program = (busybox_rootfs / "bin/busybox").read_bytes()
    layer = Archive().folder("set").add("set/id", program, mode=0o6755, owner=(1234, 4321))
    layer.add("set/chown", program, mode=0o755, xattrs=with_capability(CAP_CHOWN)).folder("mine", owner=(1000, 1000))
    load("lab:1", layer)
    for userns in USERNS:
        assert box.run("lab:1", ["sh", "-c", "/set/id -u; /set/id -g"], userns=userns).stdout == "1234\n4321\n"
        assert box.run("lab:1", ["/set/id", "-u"], userns=userns, security_opt=["no-new-privileges"]).stdout == "0\n"
        script = "cd /mine; touch f; {} 5:6 f && stat -c %u:%g f || echo refused"
        for command, said in (("/bin/chown", "refused\n"), ("/set/chown", "5:6\n")):
            run = box.run("lab:1", ["sh", "-c", script.format(command)], user="1000:1000", userns=userns)
            assert run.stdout == said, run.stderr


def test_the_user_is_looked_up_in_all_layers_together(box: Engine, load: Load) -> None:
    passwd = b"root:x:0:0::/root:/bin/sh\nada:x:2000:50::/home/ada:/bin/sh\n"
    config = {"User": "ada"}
    load("lab:1", Archive().add("etc/passwd", passwd), Archive().add("etc/group", b"lab:x:77:ada\n"), config=config)
    run = box.run("lab:1", ["sh", "-c", "id; echo $HOME"])
    assert run.stdout.startswith("uid=2000(ada) gid=50 ")
    assert run.stdout.endswith("77(lab)\n/home/ada\n")
    load("lab:2", Archive().add("etc/passwd", passwd), Archive().add("etc/.wh.passwd"), config=config)
    with pytest.raises(InvalidOption, match="the container has no user 'ada'"):
        box.run("lab:2", ["id"])
    moved = Archive().symlink("etc/passwd", "../usr/share/passwd").add("usr/share/passwd", passwd)
    load("lab:3", moved, config={"User": "ada:staff"})
    assert box.run("lab:3", ["id", "-g"]).stdout == "50\n"


def test_what_the_image_says_is_done(box: Engine, load: Load) -> None:
    config = {
        "Env": ["PATH=/bin", "COLOR=red and green"],
        "Entrypoint": ["sh", "-c", 'echo "$COLOR $PWD $0"'],
        "Cmd": ["word"],
        "WorkingDir": "/work/deep",
        "Labels": {"tier": "web"},
        "ExposedPorts": {"80/tcp": {}},
    }
    load("lab:1", config=config)
    assert box.run("lab:1").stdout == "red and green /work/deep word\n"
    assert box.run("lab:1", ["other"], env=["COLOR=blue"], workdir="/").stdout == "blue / other\n"
    assert box.run("lab:1", ["-c", "echo $COLOR"], entrypoint="sh").stdout == "red and green\n"
    made = box.containers.create("lab:1")
    assert made.attrs["Config"]["Labels"] == {"tier": "web"}  # type: ignore[index]
    assert "80/tcp" in made.attrs["Config"]["ExposedPorts"]  # type: ignore[index]


def test_a_volume_is_filled_from_all_layers(box: Engine, load: Load) -> None:
    first = Archive().folder("data", owner=(1, 2)).add("data/gone").add("data/one", b"1", owner=(7, 8))
    second = Archive().folder("data", 0o711, owner=(5, 6)).add("data/.wh.gone").add("data/two", b"2")
    load("lab:1", first, second, config={"Volumes": {"/data": {}}})
    made = box.containers.run("lab:1", ["sh", "-c", "stat -c '%n %a %u:%g' /data /data/*"])
    assert made.wait() == 0
    assert made.logs() == "/data 711 5:6\n/data/one 644 7:8\n/data/two 644 0:0\n"
    (volume,) = box.volumes.list()
    assert (Path(volume.mountpoint) / "two").read_bytes() == b"2"


def test_health_and_the_stop_signal(box: Engine, load: Load) -> None:
    config = {
        "Healthcheck": {"Test": ["CMD-SHELL", "test -f /well"], "Interval": 1_000_000_000},
        "StopSignal": "SIGUSR1",
        "Cmd": ["sh", "-c", "trap 'echo usr1; exit 3' USR1; while :; do sleep 0.05; done"],
    }
    load("lab:1", config=config)
    made = box.containers.run("lab:1")
    assert made.attrs["Config"]["Healthcheck"]["Test"] == ["CMD-SHELL", "test -f /well"]  # type: ignore[index]
    assert made.attrs["Config"]["StopSignal"] == "SIGUSR1"  # type: ignore[index]
    made.stop()
    assert (made.wait(), made.logs()) == (3, "usr1\n")


def changes(container: Container) -> set[str]:
    return {f"{each.kind} {each.path}" for each in container.diff()}


def test_what_a_container_changed_and_what_is_copied(box: Engine, load: Load, tmp_path: Path) -> None:
    load("lab:1", *layers())
    script = "echo 2 > /a/two; rm -r /full; touch /new; cd /file; rm inner; mkdir inner"
    made = box.containers.run("lab:1", ["sh", "-c", script], name="one")
    assert made.wait() == 0
    assert changes(made) == {"C /a", "C /a/two", "D /full", "A /new", "C /file", "C /file/inner"}
    assert made.stat("/a/three").mode == SET_USER_ID | 0o711
    stream, found = made.get_archive("/kept")
    assert b"first" in b"".join(stream)
    assert found.size == 5
    exported = tmp_path / "root.tar"
    with exported.open("wb") as file:
        for piece in made.export():
            file.write(piece)
    box.images.import_(exported, "flat")
    seen = box.run("flat", ["sh", "-c", "cat /a/two; ls -d /full /new; stat -c %u:%g /kept"], env=["PATH=/bin"])
    assert seen.stdout == "2\n/new\n1000:50\n"
    box.images.remove("flat")


def test_a_commit_is_one_layer_more(box: Engine, load: Load) -> None:
    picture = load("lab:1", *layers(), config={"Env": ["PATH=/bin", "A=1"]})
    made = box.containers.run("lab:1", ["sh", "-c", "rm -r /full; mkdir /full; touch /full/x; chown 9:9 /kept"])
    made.wait()
    image = made.commit("lab", "2")
    assert len(image.layers) == len(picture.layers) + 1
    seen = box.run("lab:2", ["sh", "-c", "ls /full; stat -c %u:%g /kept; echo $A"])
    assert seen.stdout == "x\n9:9\n1\n"


def test_layers_are_shared(box: Engine, load: Load) -> None:
    """Both forms lie side by side, and what is there is not made anew."""
    load("lab:1", *layers())
    before = len(list(box.images.store.layers.every()))
    load("lab:2", *layers(), Archive().add("more", b"more"))
    assert len(list(box.images.store.layers.every())) == before + 1
    assert box.run("lab:2", ["sh", "-c", "cat /more /full/new"]).stdout == "morenew"
    assert {usage.shared > 0 for usage in box.images.store.usage().images} == {True}


def test_an_image_of_many_layers(box: Engine, load: Load) -> None:
    many = [Archive().add(f"made/{number}").add("last", b"%d" % number, mtime=number) for number in range(60)]
    load("lab:1", *many)
    assert box.run("lab:1", ["sh", "-c", "ls /made | wc -l; cat /last"]).stdout == "60\n59"
