"""Manifests and indexes, by tag and by digest (distribution-spec v1.1, end-3, 7 and 9)."""

from __future__ import annotations

from aiohttp import web

from kernelbox.errors import BlobNotFound, InvalidContent
from kernelbox.oci import manifest as oci
from kernelbox.oci.digest import Digest
from kernelbox.registry.server import bodies
from kernelbox.registry.server.call import EVERYWHERE, Call, in_thread
from kernelbox.registry.server.failures import refusal
from kernelbox.registry.server.records import ManifestRow
from kernelbox.registry.server.target import Target, reference_of, tag_of

__all__ = ["delete", "get", "put"]

_MOST_TAGS = 100
_SMALL = 1 << 16
"""Bytes of what is answered from memory, checked once more; what is larger goes from its file to the connection, in
pieces of this size: a FileResponse would compare the times of files, and a tag can go back to an older one."""


async def get(call: Call) -> web.StreamResponse:
    """Also for HEAD."""
    found = await in_thread(call.storage.manifest, call.repository, reference_of(call.target.reference))
    check_accepted(call.request, found)
    headers = {"Docker-Content-Digest": str(found.digest), "Content-Type": found.media_type}
    if call.request.method == "HEAD":
        return web.Response(headers=headers | {"Content-Length": str(found.size)})
    if found.size > _SMALL:
        return await _sent(call, found, headers)
    try:
        return web.Response(body=await in_thread(call.storage.blobs.read, found.digest, _SMALL), headers=headers)
    except (BlobNotFound, InvalidContent) as error:
        raise refusal("MANIFEST_UNKNOWN", f"the manifest {found.digest} is damaged: put it again") from error


async def _sent(call: Call, found: ManifestRow, headers: dict[str, str]) -> web.StreamResponse:
    try:
        file = await in_thread(call.storage.blobs.open, found.digest)
    except BlobNotFound as error:
        raise refusal("MANIFEST_UNKNOWN", f"the manifest {found.digest} was just deleted") from error
    with file:
        answer = web.StreamResponse(headers={**EVERYWHERE, **headers, "Content-Length": str(found.size)})
        await answer.prepare(call.request)
        while piece := file.read(_SMALL):
            await answer.write(piece)
        await answer.write_eof()
    return answer


async def put(call: Call) -> web.StreamResponse:
    """Under its tag, or its digest and the tags of the query."""
    reference = reference_of(call.target.reference)
    tags = [tag_of(each) for each in call.request.query.getall("tag", [])]
    if len(tags) > _MOST_TAGS:
        raise refusal("UNSUPPORTED", f"at most {_MOST_TAGS} tags at once", status=414)
    algorithm = reference.algorithm if isinstance(reference, Digest) else "sha256"
    async with call.limits.reading:
        raw = await bodies.read(call.request, oci.MAX_BYTES)
        digest = Digest.of(raw, algorithm)
        if isinstance(reference, Digest) and digest != reference:
            raise refusal("DIGEST_INVALID", f"this manifest is not {reference} but {digest}")
        async with call.limits.parsing:
            manifest = await in_thread(_parsed, raw, call.request.headers.get("Content-Type", ""))
    named = [reference, *tags] if isinstance(reference, str) else tags
    await in_thread(call.storage.put_manifest, call.repository, digest, manifest, named)
    headers = {
        "Location": Target("manifest", call.repository, str(digest)).path,
        "Docker-Content-Digest": str(digest),
    }
    if manifest.subject:
        headers["OCI-Subject"] = str(manifest.subject.digest)
    if tags:
        headers["OCI-Tag"] = ", ".join(tags)
    return web.Response(status=201, headers=headers)


async def delete(call: Call) -> web.StreamResponse:
    """A tag alone, or by digest the manifest with all its tags."""
    await in_thread(call.storage.delete_manifest, call.repository, reference_of(call.target.reference))
    return web.Response(status=202)


def check_accepted(request: web.BaseRequest, found: ManifestRow) -> None:
    """A client that says what it understands is not given anything else. Raises the refusal MANIFEST_UNKNOWN."""
    said = ",".join(request.headers.getall("Accept", []))
    if not said.strip() or any(_accepts(each, found.media_type) for each in said.split(",")):
        return
    raise refusal("MANIFEST_UNKNOWN", f"the manifest is of the type {found.media_type}, which Accept leaves out")


def _accepts(range_: str, media_type: str) -> bool:
    """RFC 9110, section 12.5.1."""
    kind, *parameters = (each.strip().lower() for each in range_.split(";"))
    if any(each.replace(" ", "") in ("q=0", "q=0.0", "q=0.00", "q=0.000") for each in parameters):
        return False
    # Programs that were written for browsers' pages ask for JSON, and any manifest is.
    return kind in (media_type, "*/*", "application/*", "application/json")


def _parsed(raw: bytes, media_type: str) -> oci.Manifest | oci.Index:
    try:
        return oci.parse(raw, "" if media_type == "application/octet-stream" else media_type)
    except InvalidContent as error:
        raise refusal("MANIFEST_INVALID", error.message, hint=error.hint) from None
