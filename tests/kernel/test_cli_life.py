"""The verbs of a container's life as a shell uses them: real processes, a store of each test's own."""

from __future__ import annotations

import json
import os
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest
from commands import COMMAND, as_a_process, kernelbox, printed, refused
from waiting import wait_until

pytestmark = [pytest.mark.kernel, pytest.mark.root]


@pytest.fixture(autouse=True)
def nothing_kept(store: Path) -> Iterator[None]:
    """What a test has made is removed."""
    yield
    kept = kernelbox("ps", "-aq", "--no-trunc").stdout.split()
    if kept:
        printed("rm", "-f", *kept)


@pytest.fixture
def image(busybox_rootfs: Path) -> str:
    return f"dir:{busybox_rootfs}"


@pytest.fixture
def sleeper(image: str) -> str:
    """The name of a container that runs until it is killed."""
    printed("create", "--name", "sleeper", "--label", "kind=idle", image, "sleep", "1000")
    printed("start", "sleeper")
    return "sleeper"


def status(name: str) -> str:
    return printed("inspect", "-f", "{{.State.Status}}", name).strip()


def test_a_whole_life(image: str) -> None:
    identity = printed("create", "--name", "web", image, "sh", "-c", "echo out; echo err >&2; exit 3").strip()
    assert len(identity) == 64
    assert status("web") == "created"
    assert printed("start", "web") == "web\n"
    assert printed("wait", "web") == "3\n"
    done = as_a_process("logs", "web")
    assert (done.stdout, done.stderr) == ("out\n", "err\n")
    assert "Exited (3) " in printed("ps", "-a")
    assert printed("rm", "web") == "web\n"
    assert printed("ps", "-aq") == ""


def test_what_create_records_does_not_depend_on_who_starts_it(
    image: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "shared").mkdir()
    (tmp_path / "shared/file").write_text("content\n")
    (tmp_path / "vars").write_text("FROM_FILE\nGIVEN=value\n")
    monkeypatch.setenv("FROM_FILE", "then")
    monkeypatch.setenv("MINE", "then")
    words = ["-e", "MINE", "--env-file", "vars", "-v", "./shared:/shared", "--entrypoint", "sh", "--name", "web"]
    assert as_a_process("create", *words, image, "-c", "env; cat /shared/file", cwd=tmp_path).returncode == 0
    monkeypatch.setenv("MINE", "now")
    monkeypatch.setenv("FROM_FILE", "now")
    (tmp_path / "vars").unlink()
    printed("start", "web")
    assert printed("wait", "web") == "0\n"
    assert {"MINE=then", "FROM_FILE=then", "GIVEN=value", "content"} <= set(printed("logs", "web").splitlines())


def test_a_relative_folder_as_image(busybox_rootfs: Path) -> None:
    assert as_a_process("create", "--name", "web", "dir:.", "true", cwd=busybox_rootfs).returncode == 0
    printed("start", "web")
    assert printed("wait", "web") == "0\n"


def test_with_rm_it_is_gone_when_it_has_ended(image: str) -> None:
    printed("create", "--rm", "--name", "web", image, "true")
    printed("start", "web")
    wait_until(lambda: printed("ps", "-aq") == "", "it is removed")


@pytest.mark.parametrize(
    ("words", "code", "sentence"),
    [
        ([], 125, "create needs an image"),
        (["--memory", "1m", "IMAGE"], 125, "--memory: '1m' is less than 6 MiB"),
        (["--timeout", "3", "IMAGE"], 125, "--timeout: only what kernelbox run waits for has one"),
        (["--rm", "--restart", "always", "IMAGE"], 1, "--restart: a container that is removed at its end cannot"),
        (["nosuch"], 1, "no image is called 'nosuch'"),
        (["--name", "sleeper", "IMAGE"], 1, "the name 'sleeper' is in use by the container "),
    ],
)
def test_what_create_refuses(sleeper: str, image: str, words: list[str], code: int, sentence: str) -> None:
    assert refused("create", *(image if word == "IMAGE" else word for word in words), code=code).startswith(sentence)


def test_a_command_that_is_not_there(image: str) -> None:
    printed("create", "--name", "web", image, "nosuch")
    assert refused("start", "web").startswith("could not run nosuch: not found in ")
    assert printed("inspect", "-f", "{{.State.Status}} {{.State.ExitCode}}", "web") == "created 127\n"


def test_stop_asks_by_a_signal_of_ones_choice(image: str) -> None:
    script = 'trap "exit 5" TERM; trap "exit 6" INT; echo ready; while :; do sleep 0.05; done'
    printed("create", "--name", "web", image, "sh", "-c", script)
    for words, code in ((["stop", "web"], "5"), (["stop", "web", "-s", "INT"], "6"), (["kill", "-s2", "web"], "6")):
        printed("start", "web")
        wait_until(lambda: printed("logs", "--tail=1", "web") == "ready\n", "it is ready")
        assert printed(*words) == "web\n"
        assert printed("wait", "web") == f"{code}\n"


def test_stop_kills_what_does_not_listen(image: str) -> None:
    script = 'trap "echo no" TERM; echo ready; while :; do sleep 0.05; done'
    printed("create", "--name", "web", image, "sh", "-c", script)
    printed("start", "web")
    wait_until(lambda: printed("logs", "web") == "ready\n", "it is ready")
    assert printed("stop", "-t", "1", "web") == "web\n"
    assert printed("wait", "web") == "137\n"
    assert printed("logs", "web") == "ready\nno\n"


def test_restart_is_another_run(sleeper: str) -> None:
    first = printed("inspect", "-f", "{{.State.Pid}}", sleeper)
    assert printed("restart", "-t", "0", sleeper) == "sleeper\n"
    assert printed("inspect", "-f", "{{.State.Pid}}", sleeper) != first
    assert status(sleeper) == "running"


def test_pause_and_unpause(sleeper: str) -> None:
    assert printed("pause", sleeper) == "sleeper\n"
    assert status(sleeper) == "paused"
    assert "(Paused)" in printed("ps")
    assert refused("pause", sleeper) == "cannot pause the container sleeper: it is paused"
    assert printed("unpause", sleeper) == "sleeper\n"
    assert status(sleeper) == "running"


def test_rename(sleeper: str) -> None:
    assert printed("rename", sleeper, "other") == ""
    assert refused("rename", sleeper, "third") == "no such container: sleeper"
    assert refused("rename", "other", "a b").startswith("'a b' cannot be a container's name")
    assert printed("ps", "--format", "{{.Names}}") == "other\n"


def test_update_is_in_force_at_once(sleeper: str) -> None:
    assert printed("update", "--memory", "64m", "--pids-limit=50", sleeper) == "sleeper\n"
    shown = printed("inspect", "-f", "{{.HostConfig.Memory}} {{.HostConfig.PidsLimit}}", sleeper)
    assert shown == f"{64 << 20} 50\n"
    assert "64MiB" in printed("stats", "--no-stream", sleeper)
    assert refused("update", sleeper) == "nothing to change was given"
    assert refused("update", "--memory", "much", sleeper).startswith("--memory: ")
    assert refused("update", "--name", "x", sleeper, code=125) == "unknown option '--name'"


def test_wait_for_several_that_end_in_any_order(image: str) -> None:
    for name, seconds, code in (("one", "0.3", "3"), ("two", "0", "4")):
        printed("create", "--name", name, image, "sh", "-c", f"sleep {seconds}; exit {code}")
    printed("start", "one", "two")
    assert printed("wait", "one", "two") == "3\n4\n"


@pytest.mark.parametrize("verb", ["start", "stop", "restart", "kill", "pause", "wait", "rm", "update"])
def test_the_rest_is_done_when_one_is_unknown(image: str, verb: str) -> None:
    for name in ("one", "two"):
        printed("create", "--name", name, image, "sleep", "1000")
        if verb not in ("start", "rm", "wait"):
            printed("start", name)
    options = ["--memory=64m"] if verb == "update" else []
    done = kernelbox(verb, *options, "one", "nosuch", "two")
    assert done.returncode == 1
    assert done.stdout == ("0\n0\n" if verb == "wait" else "one\ntwo\n")
    assert done.stderr == "kernelbox: no such container: nosuch\n  hint: kernelbox ps -a lists them\n"


def test_by_the_beginning_of_an_id(image: str) -> None:
    ids = [printed("create", image, "true").strip() for _ in range(17)]
    firsts = [each[0] for each in ids]
    several = next(each for each in firsts if firsts.count(each) > 1)  # 17 ids, 16 digits
    assert refused("rm", several).startswith(f"{firsts.count(several)} containers have ids that begin with {several}: ")
    assert printed("rm", ids[0][:12]) == f"{ids[0][:12]}\n"
    assert printed("rm", f"/{ids[1]}") == f"/{ids[1]}\n"


MISTAKES = [
    (["rm", "sleeper"], "cannot remove the container sleeper: it is running"),
    (["update", "sleeper"], "nothing to change was given"),
    (["unpause", "sleeper"], "cannot unpause the container sleeper: it is running"),
    (["kill", "-s", "NOPE", "sleeper"], "unknown signal 'NOPE'"),
    (["stop", "-s", "NOPE", "sleeper"], "unknown signal 'NOPE'"),
    (["stop", "-t", "soon", "sleeper"], "--time: expected a whole number, got 'soon'"),
    (["rename", "sleeper", "sleeper/"], "'sleeper/' cannot be a container's name"),
    (["ps", "--filter", "status"], "bad format of filter (expected name=value)"),
    (["ps", "--filter", "status=asleep"], "invalid filter 'status=asleep'"),
    (["ps", "--filter", "colour=red"], "invalid filter 'colour'"),
    (["ps", "--filter", "before=nosuch"], "no such container: nosuch"),
    (["ps", "--format", "{{.Nope}}"], "template parsing error: "),
    (["events", "--filter", "colour=red"], "invalid filter 'colour'"),
    (["events", "--since", "whenever"], "'whenever' is not a point in time"),
    (["logs", "--tail", "few", "sleeper"], "--tail: 'few' is no number of lines"),
    (["logs", "--since", "whenever", "sleeper"], "'whenever' is not a point in time"),
    (["logs", "nosuch"], "no such container: nosuch"),
    (["top", "sleeper", "--bogus"], "ps does not take '--bogus': "),
    (["top", "nosuch"], "no such container: nosuch"),
    (["stats", "--no-stream", "nosuch"], "no such container: nosuch"),
    (["diff", "nosuch"], "no such container: nosuch"),
    (["export", "-o", "/nosuch/x.tar", "sleeper"], "could not use /nosuch/x.tar"),
    (["start", "-a", "sleeper", "other"], "only one container can be started and attached to at once"),
]


def test_mistakes(sleeper: str) -> None:
    for words, sentence in MISTAKES:
        assert refused(*words).startswith(sentence), words


@pytest.mark.parametrize("verb", ["pause", "top", "kill"])
def test_what_needs_it_to_run(image: str, verb: str) -> None:
    printed("create", "--name", "idle", image, "true")
    assert refused(verb, "idle").endswith(" the container idle: it is created")


def test_removing_by_force_what_is_not_there_is_no_failure(sleeper: str) -> None:
    done = kernelbox("rm", "-fv", "nosuch", sleeper)
    assert (done.returncode, done.stdout) == (0, "sleeper\n")
    assert done.stderr == "kernelbox: no such container: nosuch\n"


def test_the_same_behind_the_word_container(sleeper: str) -> None:
    assert printed("container", "ls", "-q") == printed("ps", "-q") == printed("container", "list", "-q")
    assert printed("container", "stop", sleeper) == "sleeper\n"
    assert printed("container", "remove", sleeper) == "sleeper\n"
    assert refused("prune", code=125) == "there is no command 'prune'"


def test_prune_asks_first(sleeper: str, image: str) -> None:
    for name, words in (("old", []), ("kept", ["--label", "keep"])):
        printed("create", "--name", name, *words, image, "sh", "-c", "echo 123456789 > /file")
        printed("start", name)
        printed("wait", name)
    done = as_a_process("container", "prune", input="n\n")
    assert done.stdout.startswith("WARNING! This will remove all stopped containers.")
    assert len(printed("ps", "-aq").split()) == 3
    identity = printed("ps", "-aq", "--no-trunc", "--filter", "name=old").strip()
    gone = printed("container", "prune", "-f", "--filter", "label!=keep")
    assert gone == f"Deleted Containers:\n{identity}\n\nTotal reclaimed space: 10B\n"
    assert printed("container", "prune", "-f", "--filter", "until=1h") == "Total reclaimed space: 0B\n"
    assert as_a_process("container", "prune", input="y\n").stdout.endswith("Total reclaimed space: 10B\n")
    assert printed("ps", "-a", "--format", "{{.Names}}") == "sleeper\n"


def test_ps(sleeper: str, image: str) -> None:
    for name in ("first", "second"):
        printed("create", "--name", name, image, "sh", "-c", "exit 4")
    printed("start", "second")
    printed("wait", "second")
    assert printed("ps", "--format", "{{.Names}}") == "sleeper\n"
    assert printed("ps", "-a", "--format", "{{.Names}}") == "second\nfirst\nsleeper\n"
    assert printed("ps", "-l", "--format", "{{.Names}}") == "second\n"
    assert printed("ps", "-n2", "--format", "{{.Names}}") == "second\nfirst\n"
    assert printed("ps", "-f", "status=exited", "--format", "{{.Names}}: {{.Status}}").startswith("second: Exited (4) ")
    assert printed("ps", "-a", "-f", "exited=4", "-f", "label=kind", "--format", "{{.Names}}") == ""
    assert printed("ps", "-f", "label=kind=idle", "--format", '{{.Label "kind"}}') == "idle\n"
    assert len(printed("ps", "-q").strip()) == 12
    assert len(printed("ps", "-q", "--no-trunc").strip()) == 64
    head, line = printed("ps").splitlines()
    assert head.split("  ")[0] == "CONTAINER ID"
    assert '"sleep 1000"' in line
    assert json.loads(printed("ps", "--format", "json"))["State"] == "running"


def test_sizes(image: str, busybox_rootfs: Path) -> None:
    printed("create", "--name", "web", image, "sh", "-c", "head -c 5000 /dev/zero > /file")
    printed("start", "web")
    printed("wait", "web")
    assert printed("ps", "-a", "--format", "{{.Size}}").startswith("5kB (virtual ")
    written, whole = map(int, printed("inspect", "-s", "-f", "{{.SizeRw}} {{.SizeRootFs}}", "web").split())
    assert written == 5000
    assert whole > 5000 + (busybox_rootfs / "bin/busybox").stat().st_size


def test_containers_whose_image_has_gone_are_shown(busybox_rootfs: Path, tmp_path: Path) -> None:
    (tmp_path / "image").symlink_to(busybox_rootfs)
    printed("create", "--name", "web", f"dir:{tmp_path}/image", "true")
    (tmp_path / "image").unlink()
    assert "web" in printed("ps", "-as")
    assert json.loads(printed("inspect", "web"))[0]["Name"] == "/web"
    assert refused("start", "web").endswith("does not exist")


def test_inspect(sleeper: str) -> None:
    done = kernelbox("inspect", sleeper, "nosuch")
    assert done.returncode == 1
    assert [each["Name"] for each in json.loads(done.stdout)] == ["/sleeper"]
    assert done.stdout.startswith('[\n    {\n        "Id": "')
    assert done.stderr.startswith("kernelbox: no such container: nosuch\n")
    nothing = kernelbox("inspect", "nosuch")
    assert (nothing.returncode, nothing.stdout) == (1, "[]\n")
    assert printed("inspect", "-f", "{{json .Config.Cmd}}", sleeper) == '["sleep","1000"]\n'
    assert refused("inspect", "--type", "network", sleeper).startswith("--type: there is no 'network'")


def test_logs(image: str) -> None:
    printed(
        "create", "--name", "web", image, "sh", "-c", "for i in 1 2 3; do echo out $i; echo err $i >&2; sleep 0.1; done"
    )
    printed("start", "web")
    done = kernelbox("logs", "-f", "web")
    assert (done.stdout, done.stderr) == ("out 1\nout 2\nout 3\n", "err 1\nerr 2\nerr 3\n")
    assert kernelbox("logs", "-n", "2", "web").stdout == "out 3\n"
    assert kernelbox("logs", "--tail", "-1", "web").stdout == done.stdout
    first = kernelbox("logs", "-t", "web").stdout.splitlines()[1]
    assert kernelbox("logs", "--since", first.split()[0], "web").stdout == "out 2\nout 3\n"
    assert kernelbox("logs", "--until", first.split()[0], "web").stdout == "out 1\nout 2\n"


def test_logs_are_followed_over_a_start(image: str) -> None:
    printed("create", "--name", "web", "-i", image, "sh", "-c", "echo one; sleep 1000")
    printed("start", "web")
    with subprocess.Popen([*COMMAND, "logs", "-f", "web"], stdout=subprocess.PIPE, text=True) as following:
        assert following.stdout is not None
        assert following.stdout.readline() == "one\n"
        printed("kill", "web")
        assert following.wait(10) == 0


def test_output_comes_as_it_is(image: str) -> None:
    printed("create", "--name", "web", image, "printf", r"\377\r\n")
    printed("start", "web")
    printed("wait", "web")
    assert subprocess.run([*COMMAND, "logs", "web"], capture_output=True).stdout == b"\xff\r\n"


def test_top(sleeper: str) -> None:
    head, line = printed("top", sleeper).splitlines()
    assert head.startswith("UID                 PID                 PPID ")
    assert line.endswith("sleep 1000")
    head, line = printed("top", sleeper, "-o", "pid,args").splitlines()
    assert (head.split(), line.split()[1:]) == (["PID", "COMMAND"], ["sleep", "1000"])


def test_stats(sleeper: str, image: str) -> None:
    printed("create", "--name", "idle", image, "true")
    head, line = printed("stats", "--no-stream").splitlines()
    assert head.startswith("CONTAINER ID   NAME      CPU %     MEM USAGE / LIMIT")
    assert " sleeper " in line
    words = ["stats", "-a", "--no-stream", "--format", "{{.Name}} {{.PIDs}} {{.CPUPerc}}"]
    assert sorted(printed(*words).splitlines()) == ["idle 0 0.00%", "sleeper 1 0.00%"]
    assert json.loads(printed("stats", "--no-stream", "--format", "json", "idle"))["Container"] == "idle"


def test_events_that_have_happened(image: str) -> None:
    printed("create", "--name", "web", "--label", "a=b", image, "sh", "-c", "exit 3")
    printed("start", "web")
    printed("wait", "web")
    since = ["events", "--since", "1h", "--until", "0s"]
    assert printed(*since, "--format", "{{.Action}}").split() == ["create", "start", "die"]
    line = printed(*since, "--filter", "event=die", "--filter", "container=web").strip()
    assert line.endswith(f"(a=b, exitCode=3, image={image}, name=web)")
    assert printed(*since, "--filter", "label=a=c") == ""


def test_events_as_they_happen(image: str) -> None:
    printed("create", "--name", "web", image, "sleep", "1000")
    words = [*COMMAND, "events", "--format", "{{.Action}} {{.Actor.Attributes.name}}", "--since", "1h"]
    with subprocess.Popen(words, stdout=subprocess.PIPE, text=True) as following:
        try:
            assert following.stdout is not None
            assert following.stdout.readline() == "create web\n"
            printed("start", "web")
            assert following.stdout.readline() == "start web\n"
            os.kill(int(printed("inspect", "-f", "{{.State.Pid}}", "web")), 9)
            assert following.stdout.readline() == "die web\n", "nobody but events has looked"
        finally:
            following.kill()


def test_a_reader_that_goes_ends_the_writer(image: str) -> None:
    printed("create", "--name", "web", image, "sh", "-c", "yes | head -n 100000")
    printed("start", "web")
    printed("wait", "web")
    with subprocess.Popen(
        [*COMMAND, "logs", "web"], stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
    ) as writer:
        assert writer.stdout is not None
        assert writer.stderr is not None
        assert writer.stdout.readline() == "y\n"
        writer.stdout.close()
        assert (writer.wait(10), writer.stderr.read()) == (141, "")
