"""How much of the disk images, containers and volumes take, and how much of that nobody would miss: `docker system df`,
in the words of its API (`GET /system/df`)."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING, Any

from kernelbox.engine import observing
from kernelbox.engine.inspect import summary

if TYPE_CHECKING:
    from kernelbox.engine.engine import Engine

__all__ = ["df"]


def df(box: Engine) -> dict[str, Any]:
    """Sizes are in bytes, and counted now: every file of containers and volumes is looked at. Raises StoreError."""
    return {**_images(box), "Containers": _containers(box), "Volumes": _volumes(box), "BuildCache": []}


def _images(box: Engine) -> dict[str, Any]:
    """`SharedSize` is what other images have too. Each layer is counted once in `LayersSize`, each piece of content as
    it was moved in `BlobsSize`. `Reclaimable` of both would go with the images that no container has; `Unused` was left
    over by somebody who was killed, or belongs to somebody who just brings an image."""
    if not box.paths.state.exists():
        return {"LayersSize": 0, "BlobsSize": 0, "Reclaimable": 0, "Unused": 0, "Images": []}
    usage = box.images.store.usage()
    found = [
        {
            "Id": each.image.id,
            "ParentId": "",
            "RepoTags": list(box.images.familiar(each.image.tags)),
            "RepoDigests": list(box.images.familiar(each.image.digests)),
            "Created": int(each.image.created_at),
            "Size": each.size,
            "SharedSize": each.shared,
            "Labels": dict(each.image.labels),
            "Containers": each.containers,
        }
        for each in usage.images
    ]
    return {
        "LayersSize": usage.layers,
        "BlobsSize": usage.blobs,
        "Reclaimable": usage.reclaimable,
        "Unused": usage.unused,
        "Images": found,
    }


def _containers(box: Engine) -> list[dict[str, object]]:
    now = time.time()
    found = box.containers.list(all=True)
    return [summary(each.record, now, known=observing.known(each, size=True)) for each in found]


def _volumes(box: Engine) -> list[dict[str, object]]:
    used = box.volumes.store.used()
    return [
        {**volume.attrs, "UsageData": {"Size": volume.size(), "RefCount": used.get(volume.name, 0)}}
        for volume in box.volumes.list()
    ]
