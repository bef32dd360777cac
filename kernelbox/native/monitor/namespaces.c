/* Mount namespaces of the monitor: the host's, where paths are looked up; the template, which every container's is a
 * copy of; the workshop, where kernels that mount overlays only by path find their layers. The last two hold one small
 * tmpfs each, so that copying the template does not cost a microsecond for every mount of the host. */
#include "monitor.h"

#include <sched.h>
#include <sys/mount.h>
#include <sys/stat.h>

static int open_own(int *fd, const char *kind)
{
    *fd = openat(monitor.proc, kind, O_RDONLY | O_CLOEXEC);
    return *fd < 0 ? -errno : 0;
}

/* To mount proc and sysfs from inside a user namespace, both must be visible already (mount_too_revealing). */
static int keep_visible(const char *source, const char *name)
{
    if (mkdirat(AT_FDCWD, name, 0755))
        return -errno;
    int tree = sys_open_tree(AT_FDCWD, source, OPEN_TREE_CLONE | AT_RECURSIVE);
    if (tree < 0)
        return tree;
    int result = sys_move_mount(tree, "", AT_FDCWD, name, MOVE_MOUNT_F_EMPTY_PATH);
    close(tree);
    return result;
}

static int new_tmpfs(void)
{
    int fs = sys_fsopen("tmpfs");
    if (fs < 0)
        return fs;
    int result = sys_fsconfig(fs, FSCONFIG_SET_STRING, "mode", "755", 0);
    if (!result)
        result = sys_fsconfig(fs, FSCONFIG_CMD_CREATE, NULL, NULL, 0);
    if (!result)
        result = sys_fsmount(fs, MOUNT_ATTR_NOSUID | MOUNT_ATTR_NODEV);
    close(fs);
    return result;
}

static int empty_namespace(int *ns, bool visible)
{
    if (unshare(CLONE_NEWNS) || mount(NULL, "/", NULL, MS_REC | MS_PRIVATE, NULL))
        return -errno;
    int root = new_tmpfs();
    if (root < 0)
        return root;
    int result = sys_move_mount(root, "", AT_FDCWD, "/", MOVE_MOUNT_F_EMPTY_PATH);
    if (!result && fchdir(root))
        result = -errno;
    close(root);
    if (!result && visible) /* "/" is still the host's root, "." the new one */
        result = keep_visible("/proc", "proc");
    if (!result && visible)
        result = keep_visible("/sys", "sys");
    if (!result && (syscall(SYS_pivot_root, ".", ".") || umount2(".", MNT_DETACH) || chdir("/")))
        result = -errno;
    return result ? result : open_own(ns, "self/ns/mnt");
}

int enter_mount_ns(int ns)
{
    if (monitor.current_ns == ns)
        return 0;
    int result = or_errno(setns(ns, CLONE_NEWNS));
    if (!result)
        monitor.current_ns = ns;
    return result;
}

int namespaces_open(bool rootless)
{
    monitor.proc = open("/proc", O_PATH | O_DIRECTORY | O_CLOEXEC);
    if (monitor.proc < 0)
        return -errno;
    int result = 0;
    if (rootless && (unshare(CLONE_NEWNS) || mount(NULL, "/", NULL, MS_REC | MS_SLAVE, NULL)))
        result = -errno; /* the host's own cannot be entered again: a copy that follows it */
    if (!result)
        result = open_own(&monitor.host_ns, "self/ns/mnt");
    if (!result)
        result = open_own(&monitor.net_ns, "self/ns/net");
    if (!result)
        result = empty_namespace(&monitor.template_ns, rootless);
    monitor.current_ns = monitor.template_ns;
    if (!result)
        result = enter_mount_ns(monitor.host_ns);
    if (!result)
        result = empty_namespace(&monitor.workshop_ns, false);
    monitor.current_ns = monitor.workshop_ns;
    return result ? result : enter_mount_ns(monitor.host_ns);
}
