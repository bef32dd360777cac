"""What the registry refuses, in one place: the specification's codes, the status that each has, and the body that says
so (distribution-spec v1.1, "Error Codes")."""

from __future__ import annotations

import errno
import json

from aiohttp import web

from kernelbox.errors import KernelBoxError, RegistryError

__all__ = ["CODES", "answer_for", "refusal"]

CODES = {
    "BLOB_UNKNOWN": 404,
    "BLOB_UPLOAD_INVALID": 400,
    "BLOB_UPLOAD_UNKNOWN": 404,
    "DIGEST_INVALID": 400,
    "MANIFEST_BLOB_UNKNOWN": 404,
    "MANIFEST_INVALID": 400,
    "MANIFEST_UNKNOWN": 404,
    "NAME_INVALID": 400,
    "NAME_UNKNOWN": 404,
    "SIZE_INVALID": 400,
    "UNAUTHORIZED": 401,
    "DENIED": 403,
    "UNSUPPORTED": 405,
    "TOOMANYREQUESTS": 429,
    # not the specification's, but what clients know from Docker's registry
    "PAGINATION_NUMBER_INVALID": 400,
    "UNKNOWN": 500,
}
"""Every code, and the status that goes with it unless a refusal says another."""

_RETRY_AFTER_S = 1
_CHALLENGE = 'Basic realm="kernelbox registry", charset="UTF-8"'


def refusal(code: str, message: str, *, status: int = 0, hint: str | None = None) -> RegistryError:
    """To be raised by whoever answers a request."""
    return RegistryError(message, hint=hint, http_status=status or CODES[code], code=code)


def answer_for(error: KernelBoxError) -> web.Response:
    """What the client gets."""
    status, code = _status_of(error), error.code if isinstance(error, RegistryError) and error.code else "UNKNOWN"
    entry = {"code": code, "message": error.message if status != 500 else "the registry could not do it"}
    if error.hint and status != 500:
        entry["detail"] = error.hint
    answer = web.Response(status=status, body=json.dumps({"errors": [entry]}).encode(), content_type="application/json")
    if status == 401:
        answer.headers["WWW-Authenticate"] = _CHALLENGE
    if status in (429, 503):
        answer.headers["Retry-After"] = str(_RETRY_AFTER_S)
    return answer


def _status_of(error: KernelBoxError) -> int:
    if isinstance(error, RegistryError):
        return error.http_status or 502
    cause = error.__cause__
    if isinstance(cause, OSError) and cause.errno in (errno.ENOSPC, errno.EDQUOT):
        return 507
    return 500
