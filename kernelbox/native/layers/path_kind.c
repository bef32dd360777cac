/* Whiteouts, by their names. */
#include "layers/entry.h"

#include <string.h>

static const char WHITEOUT[] = ".wh.", META[] = ".wh..wh.", OPAQUE[] = ".wh..wh..opq";

enum kb_path_kind kb_path_kind(const char *path)
{
    const char *name = path;
    for (const char *slash; (slash = strchr(name, '/')); name = slash + 1) {
        if (!strncmp(name, META, strlen(META)))
            return KB_PATH_IGNORED;
        if (!strncmp(name, WHITEOUT, strlen(WHITEOUT)))
            return KB_PATH_REFUSED;
    }
    if (strncmp(name, WHITEOUT, strlen(WHITEOUT)) != 0)
        return KB_PATH_PLAIN;
    if (!strcmp(name, OPAQUE))
        return KB_PATH_OPAQUE;
    if (!strncmp(name, META, strlen(META)))
        return KB_PATH_IGNORED;
    const char *hidden = name + strlen(WHITEOUT);
    return *hidden && strcmp(hidden, ".") != 0 && strcmp(hidden, "..") != 0 ? KB_PATH_WHITEOUT : KB_PATH_REFUSED;
}
