"""Instructions that change what an image says about running it."""

from __future__ import annotations

import pytest

from kernelbox.engine.image_changes import changed
from kernelbox.errors import InvalidOption
from kernelbox.oci.image_config import Healthcheck, ImageConfig

BEFORE = ImageConfig(env=("PATH=/bin", "A=1"), labels={"of": "me"}, working_dir="/srv", cmd=("sh",))


@pytest.mark.parametrize(
    ("line", "name", "value"),
    [
        ('CMD ["a", "b c"]', "cmd", ("a", "b c")),
        ("CMD echo hi", "cmd", ("/bin/sh", "-c", "echo hi")),
        ("CMD [not json", "cmd", ("/bin/sh", "-c", "[not json")),
        ("cmd []", "cmd", ()),
        ('ENTRYPOINT ["/init"]', "entrypoint", ("/init",)),
        ("ENV A=2 B='x y'", "env", ("PATH=/bin", "A=2", "B=x y")),
        ("ENV GREETING hello there", "env", ("PATH=/bin", "A=1", "GREETING=hello there")),
        ("LABEL of=you with=spaces\\ too", "labels", {"of": "you", "with": "spaces too"}),
        ("EXPOSE 80 53/udp", "exposed_ports", {"80/tcp": {}, "53/udp": {}}),
        ("EXPOSE 80-82", "exposed_ports", {"80/tcp": {}, "81/tcp": {}, "82/tcp": {}}),
        ("VOLUME /a /b", "volumes", {"/a": {}, "/b": {}}),
        ('VOLUME ["/a b"]', "volumes", {"/a b": {}}),
        ("USER nobody:nogroup", "user", "nobody:nogroup"),
        ("WORKDIR /var", "working_dir", "/var"),
        ("WORKDIR www", "working_dir", "/srv/www"),
        ("STOPSIGNAL SIGINT", "stop_signal", "SIGINT"),
        ("HEALTHCHECK NONE", "healthcheck", Healthcheck(test=("NONE",))),
        ("HEALTHCHECK CMD true", "healthcheck", Healthcheck(test=("CMD-SHELL", "true"))),
        ('HEALTHCHECK CMD ["true"]', "healthcheck", Healthcheck(test=("CMD", "true"))),
    ],
)
def test_an_instruction(line: str, name: str, value: object) -> None:
    after = changed(BEFORE, [line])
    assert getattr(after, name) == value
    assert {**_fields(after), name: None} == {**_fields(BEFORE), name: None}


def _fields(config: ImageConfig) -> dict[str, object]:
    return {
        name: getattr(config, name) for name in ("user", "env", "cmd", "labels", "working_dir", "volumes", "entrypoint")
    }


def test_one_after_the_other() -> None:
    after = changed(BEFORE, ["WORKDIR a", "WORKDIR b", "ENV A=2", "ENV A=3"])
    assert (after.working_dir, after.env) == ("/srv/a/b", ("PATH=/bin", "A=3"))


@pytest.mark.parametrize(
    ("line", "words"),
    [
        ("", "'' is no instruction"),
        ("RUN true", "'RUN' is no instruction"),
        ("CMDS x", "did you mean 'CMD'"),
        ("CMD", "needs something"),
        ("ENV A", "A=VALUE"),
        ("ENV A='", "quotes"),
        ("ENV A=1 B", "'B' is not KEY=VALUE"),
        ("EXPOSE 0", "'0' is no port"),
        ("EXPOSE 80/x", "'80/x' is no port"),
        ("EXPOSE 99999", "no port"),
        ("STOPSIGNAL SIGNOTHING", "SIGNOTHING"),
        ("HEALTHCHECK sometimes", "NONE or CMD"),
    ],
)
def test_what_is_none(line: str, words: str) -> None:
    with pytest.raises(InvalidOption) as caught:
        changed(BEFORE, [line])
    assert words in str(caught.value)
