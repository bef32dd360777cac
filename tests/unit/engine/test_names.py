"""Names of containers that were given none."""

from __future__ import annotations

import re

import pytest

from kernelbox.engine.names import ADJECTIVES, NOUNS, new_name
from kernelbox.engine.option_values import hostname, name
from kernelbox.errors import NameInUse

PLAIN = re.compile(r"([a-z]+)_([a-z]+)")
NUMBERED = re.compile(r"([a-z]+)_([a-z]+)[0-9]+")


def test_an_adjective_and_a_noun() -> None:
    for _ in range(200):
        words = PLAIN.fullmatch(new_name(lambda _: False))
        assert words
        assert words[1] in ADJECTIVES
        assert words[2] in NOUNS


def test_there_are_many_and_they_are_drawn_at_random() -> None:
    assert len(ADJECTIVES) >= 90
    assert len(NOUNS) >= 200
    # 200 of more than 18,000: fewer than 150 different ones is as likely as a broken machine
    assert len({new_name(lambda _: False) for _ in range(200)}) > 150


@pytest.mark.parametrize("words", [ADJECTIVES, NOUNS], ids=["adjectives", "nouns"])
def test_the_words_are_short_plain_and_different(words: tuple[str, ...]) -> None:
    assert len(set(words)) == len(words)
    for word in words:
        assert re.fullmatch(r"[a-z]{2,13}", word), word


def test_every_name_may_be_given_to_a_container() -> None:
    longest = f"{max(ADJECTIVES, key=len)}_{max(NOUNS, key=len)}"
    assert name(longest) == longest
    assert hostname(longest.replace("_", "-"))


def test_a_name_that_is_taken_is_not_given() -> None:
    asked: list[str] = []

    def taken(candidate: str) -> bool:
        asked.append(candidate)
        return len(asked) < 3

    assert new_name(taken) == asked[2]
    assert PLAIN.fullmatch(asked[2])


def test_after_several_a_number_is_added() -> None:
    found = new_name(lambda candidate: candidate.isidentifier() and not candidate[-1].isdigit())
    assert NUMBERED.fullmatch(found)


def test_it_does_not_try_for_ever() -> None:
    asked: set[str] = set()
    with pytest.raises(NameInUse, match=r"no name is free: 20 were tried"):
        new_name(lambda candidate: not asked.add(candidate))
    assert len(asked) > 10
