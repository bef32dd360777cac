"""`--change` of `commit` and `import`: what an image says about running it, changed by instructions as a Dockerfile has
them ('CMD ["sh"]', "ENV A=1", "USER nobody")."""

from __future__ import annotations

import dataclasses
import json
import shlex
from collections.abc import Callable, Iterable, Mapping

from kernelbox.engine import option_values
from kernelbox.engine.option_values import near
from kernelbox.errors import InvalidOption
from kernelbox.oci.image_config import Healthcheck, ImageConfig

__all__ = ["changed"]

_SHELL = ("/bin/sh", "-c")
_PROTOCOLS = ("tcp", "udp", "sctp")


def changed(config: ImageConfig, instructions: Iterable[str]) -> ImageConfig:
    """The configuration after these, one after the other. Raises InvalidOption, which names the instruction."""
    for line in instructions:
        word, _, rest = line.strip().partition(" ")
        change = _CHANGES.get(word.upper())
        if change is None:
            hint = near(word.upper(), _CHANGES) or f"one of {', '.join(sorted(_CHANGES))}"
            raise InvalidOption(f"change: {word[:40]!r} is no instruction that can be used here", hint=hint)
        if not rest.strip():
            raise InvalidOption(f"change: {word.upper()} needs something to be said after it")
        try:
            config = change(config, rest.strip())
        except InvalidOption as error:
            raise InvalidOption(f"change: {line.strip()[:80]!r}: {error.message}", hint=error.hint) from None
    return config


def _words(text: str) -> tuple[str, ...] | None:
    """A list in JSON, as Dockerfiles have commands; None for what is not written so."""
    if not text.startswith("["):
        return None
    try:
        found = json.loads(text)
    except ValueError:
        return None
    return tuple(found) if isinstance(found, list) and all(isinstance(each, str) for each in found) else None


def _command(text: str) -> tuple[str, ...]:
    return found if (found := _words(text)) is not None else (*_SHELL, text)


def _cmd(config: ImageConfig, text: str) -> ImageConfig:
    return dataclasses.replace(config, cmd=_command(text))


def _entrypoint(config: ImageConfig, text: str) -> ImageConfig:
    return dataclasses.replace(config, entrypoint=_command(text))


def _pairs(text: str) -> dict[str, str]:
    """KEY=VALUE ..., quoted as in a shell; or KEY and all that follows."""
    key, space, value = text.partition(" ")
    if "=" not in key:
        if not space:
            raise InvalidOption("a value is missing", hint=f"{key}=VALUE")
        return {key: value.strip()}
    try:
        parts = [each.partition("=") for each in shlex.split(text)]
    except ValueError as error:
        raise InvalidOption(f"its quotes do not match: {error}") from None
    if wrong := next((key for key, equals, _ in parts if not equals or not key), None):
        raise InvalidOption(f"{wrong!r} is not KEY=VALUE")
    return {key: value for key, _, value in parts}


def _env(config: ImageConfig, text: str) -> ImageConfig:
    known = dict(each.partition("=")[::2] for each in config.env)
    return dataclasses.replace(config, env=tuple(f"{key}={value}" for key, value in (known | _pairs(text)).items()))


def _label(config: ImageConfig, text: str) -> ImageConfig:
    return dataclasses.replace(config, labels={**config.labels, **_pairs(text)})


def _expose(config: ImageConfig, text: str) -> ImageConfig:
    ports = {}
    for word in text.split():
        number, _, protocol = word.lower().partition("/")
        first, dash, last = number.partition("-")
        ends = (first, last) if dash else (first, first)
        if not all(end.isdecimal() and 0 < int(end) <= 0xFFFF for end in ends) or (protocol or "tcp") not in _PROTOCOLS:
            raise InvalidOption(f"{word[:40]!r} is no port", hint="8080, for example, or 53/udp")
        for port in range(int(ends[0]), int(ends[1]) + 1):
            ports[f"{port}/{protocol or 'tcp'}"] = dict[str, object]()
    return dataclasses.replace(config, exposed_ports={**config.exposed_ports, **ports})


def _volume(config: ImageConfig, text: str) -> ImageConfig:
    found = _words(text) or tuple(text.split())
    added: Mapping[str, object] = {each: {} for each in found}
    return dataclasses.replace(config, volumes={**config.volumes, **added})


def _user(config: ImageConfig, text: str) -> ImageConfig:
    return dataclasses.replace(config, user=text)


def _workdir(config: ImageConfig, text: str) -> ImageConfig:
    place = text if text.startswith("/") else f"{config.working_dir.rstrip('/')}/{text}"
    return dataclasses.replace(config, working_dir=place)


def _stop_signal(config: ImageConfig, text: str) -> ImageConfig:
    option_values.stop_signal(text)
    return dataclasses.replace(config, stop_signal=text)


def _healthcheck(config: ImageConfig, text: str) -> ImageConfig:
    if text.upper() == "NONE":
        return dataclasses.replace(config, healthcheck=Healthcheck(test=("NONE",)))
    word, _, rest = text.partition(" ")
    if word.upper() != "CMD" or not rest.strip():
        raise InvalidOption("a health check is NONE or CMD and a command")
    words = _words(rest.strip())
    test = ("CMD", *words) if words is not None else ("CMD-SHELL", rest.strip())
    return dataclasses.replace(config, healthcheck=Healthcheck(test=test))


_CHANGES: Mapping[str, Callable[[ImageConfig, str], ImageConfig]] = {
    "CMD": _cmd,
    "ENTRYPOINT": _entrypoint,
    "ENV": _env,
    "EXPOSE": _expose,
    "HEALTHCHECK": _healthcheck,
    "LABEL": _label,
    "STOPSIGNAL": _stop_signal,
    "USER": _user,
    "VOLUME": _volume,
    "WORKDIR": _workdir,
}
