/* Files with several names: the first is written with its content, the others as hard links to it. */
#include "layers/diff.h"

static struct first_link *find(struct diff *diff, const struct stat *found)
{
    size_t at = (size_t)(found->st_ino * 0x9e3779b97f4a7c15u ^ found->st_dev);
    struct first_link *link;
    while ((link = &diff->links[at++ % diff->link_room])->path)
        if (link->inode == found->st_ino && link->device == found->st_dev)
            break;
    return link;
}

static int grow(struct diff *diff)
{
    struct first_link *old = diff->links;
    const size_t count = diff->link_room, room = count ? 2 * count : 256;
    struct first_link *links = calloc(room, sizeof *links);
    if (!links)
        return -ENOMEM;
    diff->links = links;
    diff->link_room = room;
    for (size_t at = 0; at < count; at++)
        if (old[at].path) {
            const struct stat same = {.st_ino = old[at].inode, .st_dev = old[at].device};
            *find(diff, &same) = old[at];
        }
    free(old);
    return 0;
}

const char *diff_first_link(struct diff *diff, const struct stat *found, int *result)
{
    if (2 * diff->link_count >= diff->link_room && (*result = grow(diff)) < 0)
        return NULL;
    struct first_link *link = find(diff, found);
    if (link->path)
        return diff->paths.bytes + link->path - 1;
    *link = (struct first_link){found->st_dev, found->st_ino, diff->paths.used + 1};
    diff->link_count++;
    *result = gather(&diff->paths, diff->path, diff->length + 1);
    return NULL;
}
