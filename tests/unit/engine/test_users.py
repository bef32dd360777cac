"""--user: who a text means, by files that strangers wrote."""

from __future__ import annotations

import os

import pytest
from hypothesis import given
from hypothesis import strategies as st

from kernelbox.engine import users
from kernelbox.engine.users import ResolvedUser, UserNotFound, resolve_user
from kernelbox.errors import InvalidOption, NotFound

PASSWD = b"""root:x:0:0:root:/root:/bin/sh
app:x:1000:1001:App:/home/app:/bin/sh
1000:x:0:0:a name that looks like a number:/root:/bin/sh
4294967296:x:0:0:so does this:/root:/bin/sh
broken:x:notanumber:0::/:/bin/sh
huge:x:4294967296:0::/:/bin/sh
last:x:4294967294:7::relative:/bin/sh
dup:x:5:5::/five:/bin/sh
dup:x:0:0::/root:/bin/sh
short:x:9
app2:x:2000:2000::/home/app2
evil:x:3000:3000::/home\x07bell:/bin/sh
"""
GROUP = b"""root:x:0:
staff:x:50:app,last
video:x:44:app
44:x:0:
application:x:60:app2
big:x:4294967295:
tail:x:70:appendix,app"""


@pytest.mark.parametrize(
    ("text", "user"),
    [
        ("", ResolvedUser(0, 0, (), "root", "/root")),
        ("root", ResolvedUser(0, 0, (), "root", "/root")),
        ("0", ResolvedUser(0, 0, (), "root", "/root")),
        ("app", ResolvedUser(1000, 1001, (50, 44, 70), "app", "/home/app")),
        ("1000", ResolvedUser(1000, 1001, (50, 44, 70), "app", "/home/app")),
        ("001000", ResolvedUser(1000, 1001, (50, 44, 70), "app", "/home/app")),
        ("app:staff", ResolvedUser(1000, 50, (), "app", "/home/app")),
        ("app:7", ResolvedUser(1000, 7, (), "app", "/home/app")),
        ("1000:44", ResolvedUser(1000, 44, (), "app", "/home/app")),
        ("1234", ResolvedUser(1234, 0, (), "", "/")),
        ("1234:5678", ResolvedUser(1234, 5678, (), "", "/")),
        ("dup", ResolvedUser(5, 5, (), "dup", "/five")),
        ("last", ResolvedUser(4294967294, 7, (50,), "last", "/")),
        ("evil", ResolvedUser(3000, 3000, (), "evil", "/")),
        (":staff", ResolvedUser(0, 50, (), "root", "/root")),
    ],
)
def test_who_it_is(text: str, user: ResolvedUser) -> None:
    assert resolve_user(text, PASSWD, GROUP) == user


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("4294967295", "user: the user id 4294967295 is larger than 4294967294"),
        ("4294967296", "user: the user id 4294967296 is larger than 4294967294"),
        ("1" * 5000, "user: the user id 1111"),
        ("0:4294967296", "user: the group id 4294967296 is larger than 4294967294"),
        ("broken", "user: the container's /etc/passwd has an id that is none: 'notanumber'"),
        ("huge", "user: the container's /etc/passwd has an id that is none: '4294967296'"),
        ("app:big", "user: the container's /etc/group has an id that is none: '4294967295'"),
        ("app:", "user: 'app:' is not USER or USER:GROUP"),
        ("app:staff:x", "user: 'app:staff:x' is not USER or USER:GROUP"),
        ("ap\np", "user: 'ap\\np' is not USER or USER:GROUP"),
        ("a\0", "user: 'a\\x00' is not USER or USER:GROUP"),
        ("\ud800", "user: '\\ud800' cannot be written in this locale"),
    ],
)
def test_what_cannot_be_meant(text: str, message: str) -> None:
    with pytest.raises(InvalidOption) as caught:
        resolve_user(text, PASSWD, GROUP)
    assert str(caught.value).startswith(message)


@pytest.mark.parametrize(
    "text", ["nobody", "-1", "0x0", "+1", " 0", "1e3", "٣", "0 ", "short", "ap", "x", "App", "app:nogroup", "é"]
)
def test_who_is_not_there(text: str) -> None:
    with pytest.raises(UserNotFound, match=r"the container has no (user|group)") as caught:
        resolve_user(text, PASSWD, GROUP)
    assert isinstance(caught.value, NotFound)


def test_names_need_not_be_utf_8() -> None:
    passwd, group = b"r\xe9mi:x:7:8::/:\n", b"\xff\xfe:x:50:r\xe9mi\n"
    typed, added = os.fsdecode(b"r\xe9mi"), os.fsdecode(b"\xff\xfe")
    assert resolve_user(typed, passwd, group) == ResolvedUser(7, 8, (50,), typed, "/")
    assert resolve_user(f"0:{added}", passwd, group).gid == 50
    assert resolve_user("0", passwd, group, [added]).groups == (50,)
    with pytest.raises(UserNotFound, match="has no user"):
        resolve_user(added, passwd, group)


def test_added_groups() -> None:
    assert resolve_user("app", PASSWD, GROUP, ["video", "9", "application"]).groups == (50, 44, 70, 9, 60)
    assert resolve_user("1234", PASSWD, GROUP, ["44"]).groups == (44,)
    with pytest.raises(UserNotFound):
        resolve_user("app", PASSWD, GROUP, ["nogroup"])
    with pytest.raises(InvalidOption, match="the name of a group is empty"):
        resolve_user("app", PASSWD, GROUP, [""])


def test_an_image_without_the_files() -> None:
    assert resolve_user("", b"", b"") == ResolvedUser(0, 0, (), "", "/")
    assert resolve_user("7:8", b"", b"") == ResolvedUser(7, 8, (), "", "/")


def test_sizes_are_bounded() -> None:
    filler = b"x" * (users.MAX_FILE_BYTES + 1)
    with pytest.raises(InvalidOption, match="/etc/passwd of the image is larger than 8 MiB"):
        resolve_user("0", filler, b"")
    with pytest.raises(InvalidOption, match="/etc/group of the image is larger than 8 MiB"):
        resolve_user("0", b"", filler)
    groups = b"".join(b"g%d:x:%d:u\n" % (number, number) for number in range(65_537))
    with pytest.raises(InvalidOption, match="would be in 65537 groups; the kernel allows 65536"):
        resolve_user("u", b"u:x:1:1::/:\n", groups)


def test_many_entries() -> None:
    passwd = b"".join(b"u%d:x:%d:%d::/:\n" % (number, number, number) for number in range(300_000))
    assert resolve_user("u299999", passwd, b"").uid == 299_999
    assert resolve_user("299999", passwd, b"").name == "u299999"


@given(st.text(max_size=30), st.binary(max_size=200), st.binary(max_size=200))
def test_any_files_give_ids_or_a_sentence(text: str, passwd: bytes, group: bytes) -> None:
    try:
        user = resolve_user(text, passwd, group)
    except InvalidOption:
        return
    assert all(0 <= number <= users.MAX_ID for number in (user.uid, user.gid, *user.groups))
    if text.isascii() and text.isdecimal():
        assert user.uid == int(text)
