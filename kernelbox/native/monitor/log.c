/* The log of a container: Docker's json-file, an object for each line with its stream and time. Bytes that are not
 * UTF-8 are written as lone surrogates (\udc80 to \udcff), so that a reader can have them back. */
#include "monitor.h"

#include <stdio.h>
#include <sys/stat.h>
#include <time.h>

enum { LONGEST = 16384, ROOM = 6 * LONGEST + 128, BUFFER = 2 * ROOM };

static const char name[] = "log.json", fresh_name[] = "log.json.new";

static char buffer[BUFFER];
static size_t used;

int log_open(struct life *life)
{
    struct stat status;
    if (!life->wanted.log_files)
        return 0;
    life->log = openat(life->folder, name, O_WRONLY | O_CREAT | O_APPEND | O_NOFOLLOW | O_CLOEXEC, 0600);
    if (life->log < 0 || fstat(life->log, &status))
        return -errno;
    life->log_used = (uint64_t)status.st_size;
    life->log_broken = status.st_size > 0;             /* a predecessor may have been killed over a line: end it */
    return 0;
}

/* log.json becomes log.json.1, that log.json.2, and so on; the last one goes. Where a full disk has no room for a new
 * one, the old one grows on until it has. */
static void rotate(struct life *life)
{
    char from[32], to[32];
    int fresh = openat(life->folder, fresh_name, O_WRONLY | O_CREAT | O_APPEND | O_NOFOLLOW | O_CLOEXEC, 0600);
    if (fresh < 0)
        return;
    for (int number = life->wanted.log_files - 1; number > 0; number--) {
        snprintf(to, sizeof to, "%s.%d", name, number);
        snprintf(from, sizeof from, number > 1 ? "%s.%d" : "%s", name, number - 1);
        renameat(life->folder, from, life->folder, to);
    }
    renameat(life->folder, fresh_name, life->folder, name);
    close(life->log);
    life->log = fresh;
    life->log_used = 0;
    life->log_broken = false;
}

/* What a full disk does not take is lost, and the container goes on. */
static void flush(struct life *life)
{
    if (life->log < 0 || !used)
        return;
    if (life->log_broken && write(life->log, "\n", 1) == 1)
        life->log_broken = false;
    ssize_t count = life->log_broken ? -1 : write(life->log, buffer, used);
    life->log_broken = life->log_broken || (count >= 0 && (size_t)count < used);
    if (count > 0)
        life->log_used += (uint64_t)count;
    used = 0;
    if (life->wanted.log_size && life->log_used >= life->wanted.log_size)
        rotate(life);
}

/* How many bytes the UTF-8 sequence at `at` has; 0 where it is none (RFC 3629). */
static size_t sequence(const unsigned char *at, size_t left)
{
    size_t length = at[0] < 0x80                    ? 1
                    : at[0] >= 0xc2 && at[0] < 0xe0 ? 2
                    : at[0] >= 0xe0 && at[0] < 0xf0 ? 3
                    : at[0] >= 0xf0 && at[0] < 0xf5 ? 4
                                                    : 0;
    if (!length || length > left)
        return 0;
    for (size_t i = 1; i < length; i++)
        if ((at[i] & 0xc0) != 0x80)
            return 0;
    bool overlong = (at[0] == 0xe0 && at[1] < 0xa0) || (at[0] == 0xf0 && at[1] < 0x90);
    bool beyond = (at[0] == 0xed && at[1] >= 0xa0) || (at[0] == 0xf4 && at[1] >= 0x90);
    return overlong || beyond ? 0 : length;
}

static void put(const char *text, size_t size)
{
    memcpy(buffer + used, text, size);
    used += size;
}

static void put_escaped(const char *bytes, size_t size)
{
    static const char digits[] = "0123456789abcdef";
    const unsigned char *at = (const unsigned char *)bytes;
    for (size_t left = size; left;) {
        size_t length = sequence(at, left);
        if (length == 1 && (*at == '"' || *at == '\\' || *at == '\n' || *at == '\t' || *at == '\r')) {
            char text[2] = {'\\', *at == '\n' ? 'n' : *at == '\t' ? 't' : *at == '\r' ? 'r' : (char)*at};
            put(text, 2);
        } else if (length > 1 || (length == 1 && *at >= 0x20)) {
            put((const char *)at, length);
        } else {
            char text[6] = {'\\', 'u', length ? '0' : 'd', length ? '0' : 'c', digits[*at >> 4], digits[*at & 15]};
            put(text, 6);
            length = 1;
        }
        at += length;
        left -= length;
    }
}

static size_t write_time(char text[40])
{
    struct timespec now;
    struct tm date;
    clock_gettime(CLOCK_REALTIME, &now);
    gmtime_r(&now.tv_sec, &date);
    size_t length = strftime(text, 40, "%Y-%m-%dT%H:%M:%S", &date);
    return length + (size_t)snprintf(text + length, 40 - length, ".%09ldZ", now.tv_nsec);
}

void log_write(struct life *life, int number, const char *bytes, size_t size)
{
    char ending[96], time[40];
    if (life->log < 0)
        return;
    size_t length = write_time(time);
    length = (size_t)snprintf(ending, sizeof ending, "\",\"stream\":\"%s\",\"time\":\"%.*s\"}\n",
                              number ? "stderr" : "stdout", (int)length, time);
    while (size) {
        const char *newline = memchr(bytes, '\n', size);
        size_t line = newline ? (size_t)(newline - bytes) + 1 : size;
        if (line > LONGEST)
            line = LONGEST;
        if (used + ROOM > sizeof buffer)
            flush(life);
        put("{\"log\":\"", 8);
        put_escaped(bytes, line);
        put(ending, length);
        bytes += line;
        size -= line;
    }
    flush(life);
}
