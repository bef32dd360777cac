/* Owners: the ids of an archive are the natural ones, and a store where those cannot be written has others on disk. */
#ifndef KB_LAYERS_IDS_H
#define KB_LAYERS_IDS_H

#include <stdbool.h>

#include "kb.h"

/* False where no range has it. Without any range ids are the same on both sides. */
static inline bool id_outside(const struct kb_id_range *ranges, size_t count, uint32_t id, uint32_t *found)
{
    *found = id;
    for (size_t at = 0; at < count; at++)
        if (id >= ranges[at].inside && id - ranges[at].inside < ranges[at].count) {
            *found = ranges[at].outside + (id - ranges[at].inside);
            return true;
        }
    return !count;
}

static inline bool id_inside(const struct kb_id_range *ranges, size_t count, uint32_t id, uint32_t *found)
{
    *found = id;
    for (size_t at = 0; at < count; at++)
        if (id >= ranges[at].outside && id - ranges[at].outside < ranges[at].count) {
            *found = ranges[at].inside + (id - ranges[at].outside);
            return true;
        }
    return !count;
}

#endif
