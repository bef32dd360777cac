/* Numbers and times as archives write them, and the names of entries. */
#include "layers/tar_inner.h"

/* Base 256, big-endian two's complement, with the top bit of the first byte set (GNU, star). */
static bool binary(const unsigned char *field, size_t size, int64_t *number)
{
    bool negative = field[0] & 0x40;
    uint64_t value = negative ? UINT64_MAX : 0;
    for (size_t at = 0; at < size; at++) {
        unsigned char byte = at ? field[at] : (unsigned char)(negative ? field[0] : field[0] & 0x7f);
        if (value >> 55 != (negative ? 0x1ff : 0)) /* the next eight bits, and the sign, would not fit */
            return false;
        value = value << 8 | byte;
    }
    *number = (int64_t)value;
    return true;
}

bool tar_number(const char *field, size_t size, int64_t *number)
{
    if (field[0] & 0x80)
        return binary((const unsigned char *)field, size, number);
    size_t at = 0;
    uint64_t value = 0;
    while (at < size && (field[at] == ' ' || !field[at]))
        at++;
    for (; at < size && field[at] >= '0' && field[at] <= '7'; at++)
        value = value << 3 | (uint64_t)(field[at] - '0'); /* at most twelve digits */
    for (; at < size; at++)
        if (field[at] != ' ' && field[at])
            return false;
    *number = (int64_t)value;
    return true;
}

bool tar_decimal(const char *text, uint64_t most, uint64_t *number)
{
    uint64_t value = 0;
    if (!*text)
        return false;
    for (; *text; text++) {
        if (*text < '0' || *text > '9')
            return false;
        unsigned int digit = (unsigned int)(*text - '0');
        if (value > (most - digit) / 10)
            return false;
        value = value * 10 + digit;
    }
    *number = value;
    return true;
}

/* "-1.5" is half a second before -1: seconds -2, and 500,000,000 ns. What is finer than a nanosecond is cut off. */
bool tar_time(const char *text, struct time *time)
{
    bool negative = *text == '-', any = false;
    int64_t seconds = 0;
    uint32_t ns = 0, unit = 100 * 1000 * 1000;
    for (text += negative; *text >= '0' && *text <= '9'; text++, any = true)
        if ((seconds = seconds * 10 + (*text - '0')) > MOST_SECONDS)
            return false;
    if (*text == '.')
        for (text++; *text >= '0' && *text <= '9'; text++, unit /= 10)
            ns += (uint32_t)(*text - '0') * unit;
    if (!any || *text)
        return false;
    time->seconds = negative ? -seconds - (ns != 0) : seconds;
    time->ns = negative && ns ? 1000 * 1000 * 1000 - ns : ns;
    return true;
}

/* Leading slashes mean the root, as for the field; ".." is never meant well. */
enum kb_layer_fault tar_clean(const char *name, char path[PATH_MAX])
{
    size_t used = 0, depth = 0;
    for (const char *at = name; *at;) {
        size_t length = strcspn(at, "/");
        if (length == 2 && at[0] == '.' && at[1] == '.')
            return KB_FAULT_DOTS;
        if (length && !(length == 1 && *at == '.')) {
            if (length > NAME_MAX || used + length + 2 > PATH_MAX)
                return KB_FAULT_NAME;
            if (++depth > KB_MOST_DEPTH)
                return KB_FAULT_DEPTH;
            if (used)
                path[used++] = '/';
            memcpy(path + used, at, length);
            used += length;
        }
        at += length + (at[length] == '/');
    }
    path[used] = 0;
    return KB_FAULT_NONE;
}
