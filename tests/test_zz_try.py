import os
def test_fd(): os.open("/etc/passwd", os.O_RDONLY)
def test_run(engine, busybox_rootfs):
    r = engine.run(f"dir:{busybox_rootfs}", ["id"]); assert r.stdout
    r = engine.run(f"dir:{busybox_rootfs}", ["id"])
