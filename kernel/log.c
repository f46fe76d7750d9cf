/* The log: formatting lines and getting them out.
 *
 * A line is made in the caller's stack (4 KiB, longer ones on the heap) and leaves in one write(2),
 * so lines of different threads never mix. It goes to standard output, as the reference's do, and
 * to the log file if there is one. The file is block-buffered and appended to, also as the
 * reference does: a short run may leave it empty until flush or exit.
 *
 * log_lock guards the configuration. Most calls do not come that far: one relaxed load of the
 * largest level anywhere turns away DEBUG and TRACE lines of a server that runs at INFO. Formats
 * and levels are copied out and the line is written without the lock; file_lock is the exception
 * named in LOCKS.md.
 *
 * Text comes from anywhere, also from request bodies: control characters are escaped, so that no
 * input can fake a line. */
#define _GNU_SOURCE 1
#include "log.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "cpu.h"
#include "lock.h"
#include "log_filter.h"

#define LINE_STACK  4096
#define LINE_MAX    (1u << 20)
#define BUFFER_SIZE 8192
#define BUFFER_MAX  (64u << 20)

/* Guarded by log_lock. */
static struct sx_lock log_lock = SX_LOCK_INIT(SX_RANK_LOG);
static struct sx_log_filter out_filter, disk_filter;
static uint32_t is_set; /* the filters have been parsed */
static uint32_t out_format, out_color, disk_format, has_disk;

/* Guarded by file_lock. */
static struct sx_lock file_lock = SX_LOCK_INIT(SX_RANK_LOG_FILE);
static int file_fd = -1;
static char *file_buffer;
static uint64_t file_n, file_cap;

/* Any thread, atomic: the largest level that any line of any target may have. */
static int32_t level_max = SX_LOG_INFO;
static int32_t is_tty = -1; /* standard output; -1 = not asked yet */

struct sinks {
    int on_out, on_disk;
    uint32_t out_format, out_color, disk_format;
};

static const struct {
    const char *name, *padded, *color;
} levels[] = {
    {"ERROR", "ERROR", "\x1b[31m"}, {"WARN", " WARN", "\x1b[33m"},  {"INFO", " INFO", "\x1b[32m"},
    {"DEBUG", "DEBUG", "\x1b[34m"}, {"TRACE", "TRACE", "\x1b[35m"},
};

/* --- which lines ------------------------------------------------------------------------------ */

static struct sinks sinks_of(uint32_t level, const char *module, const char *room)
{
    struct sinks s = {.on_out = 0};

    if (level > SX_LOG_TRACE || (int32_t)level > __atomic_load_n(&level_max, __ATOMIC_RELAXED))
        return s;
    sx_lock_take(&log_lock);
    if (!is_set) { /* lines before the configuration is read */
        sx_log_filter_parse(&out_filter, NULL, NULL);
        is_set = 1;
    }
    s.on_out = (int32_t)level <= sx_log_filter_level(&out_filter, module, room);
    s.on_disk = has_disk && (int32_t)level <= sx_log_filter_level(&disk_filter, module, room);
    s.out_format = out_format;
    s.out_color = out_color;
    s.disk_format = disk_format;
    sx_lock_give(&log_lock);
    return s;
}

uint32_t sx_log_on(uint32_t level, const char *module, const char *room)
{
    struct sinks s = sinks_of(level, module, room ? room : "");

    return s.on_out || s.on_disk;
}

/* --- one line --------------------------------------------------------------------------------- */

struct line {
    char *p;
    size_t n, cap;
};

static void put(struct line *l, const char *s, size_t n)
{
    if (n > l->cap - l->n)
        n = l->cap - l->n;
    memcpy(l->p + l->n, s, n);
    l->n += n;
}

static void puts_(struct line *l, const char *s)
{
    put(l, s, strlen(s));
}

/* "2025-01-31T12:00:00.123456Z". Days to a date by the usual count from 1 March of year 0, so that
 * leap days come last. */
static void put_time(struct line *l, uint64_t wall_ns)
{
    uint64_t s = wall_ns / 1000000000u, days = s / 86400, of_day = s % 86400;
    uint64_t z = days + 719468, era = z / 146097, doe = z % 146097;
    uint64_t yoe = (doe - doe / 1460 + doe / 36524 - doe / 146096) / 365;
    uint64_t doy = doe - (365 * yoe + yoe / 4 - yoe / 100), mp = (5 * doy + 2) / 153;
    uint32_t day = (uint32_t)(doy - (153 * mp + 2) / 5 + 1);
    uint32_t month = (uint32_t)(mp < 10 ? mp + 3 : mp - 9);
    char text[64];

    int n = snprintf(text, sizeof(text), "%04u-%02u-%02uT%02u:%02u:%02u.%06uZ",
                     (uint32_t)(yoe + era * 400 + (month <= 2)), month, day,
                     (uint32_t)(of_day / 3600), (uint32_t)(of_day / 60 % 60),
                     (uint32_t)(of_day % 60), (uint32_t)(wall_ns % 1000000000u / 1000));
    put(l, text, (size_t)n);
}

/* The message with control characters escaped; JSON also escapes quotes and backslashes. */
static void put_message(struct line *l, const char *s, size_t n, int is_json)
{
    size_t plain = 0;

    for (size_t i = 0; i < n; i++) {
        unsigned char c = (unsigned char)s[i];
        char hex[8];
        if (c >= 0x20 && c != 0x7f && !(is_json && (c == '"' || c == '\\')))
            continue;
        put(l, s + plain, i - plain);
        plain = i + 1;
        if (c == '\n')
            puts_(l, "\\n");
        else if (c == '\t')
            puts_(l, is_json ? "\\t" : "\t");
        else if (c == '"' || c == '\\')
            put(l, (char[]){'\\', (char)c}, 2);
        else
            put(l, hex, (size_t)snprintf(hex, sizeof(hex), is_json ? "\\u%04x" : "\\x%02x", c));
    }
    put(l, s + plain, n - plain);
}

static void put_target(struct line *l, const char *module, const char *room)
{
    if (!strstr(room, "::")) {
        puts_(l, module);
        if (*room)
            puts_(l, "::");
    }
    puts_(l, room);
}

static void line_text(struct line *l,
                      uint32_t level,
                      const char *module,
                      const char *room,
                      const char *text,
                      size_t n,
                      int is_color)
{
    puts_(l, is_color ? "\x1b[2m" : "");
    put_time(l, sx_time_wall_ns());
    puts_(l, is_color ? "\x1b[0m " : " ");
    puts_(l, is_color ? levels[level].color : "");
    puts_(l, levels[level].padded);
    puts_(l, is_color ? "\x1b[0m \x1b[2m" : " ");
    put_target(l, module, room);
    puts_(l, is_color ? "\x1b[0m\x1b[2m:\x1b[0m " : ": ");
    put_message(l, text, n, 0);
}

static void line_json(struct line *l,
                      uint32_t level,
                      const char *module,
                      const char *room,
                      const char *text,
                      size_t n)
{
    puts_(l, "{\"timestamp\":\"");
    put_time(l, sx_time_wall_ns());
    puts_(l, "\",\"level\":\"");
    puts_(l, levels[level].name);
    puts_(l, "\",\"fields\":{\"message\":\"");
    put_message(l, text, n, 1);
    puts_(l, "\"},\"target\":\"");
    put_target(l, module, room);
    puts_(l, "\"}");
}

/* --- out -------------------------------------------------------------------------------------- */

/* A full pipe blocks, as it does for the reference; a closed or broken one loses the line. */
static void write_all(int fd, const char *p, size_t n)
{
    while (n > 0) {
        ssize_t w = write(fd, p, n);
        if (w < 0 && errno == EINTR)
            continue;
        if (w <= 0)
            return;
        p += w;
        n -= (size_t)w;
    }
}

/* [file_lock] */
static void file_flush(void)
{
    if (file_fd >= 0)
        write_all(file_fd, file_buffer, file_n);
    file_n = 0;
}

static void file_write(const char *p, size_t n)
{
    sx_lock_take(&file_lock);
    if (file_fd >= 0) {
        if (n > file_cap - file_n)
            file_flush();
        if (n > file_cap) {
            write_all(file_fd, p, n);
        } else {
            memcpy(file_buffer + file_n, p, n);
            file_n += n;
        }
    }
    sx_lock_give(&file_lock);
}

void sx_log_flush(void)
{
    sx_lock_take(&file_lock);
    file_flush();
    sx_lock_give(&file_lock);
}

static int out_is_tty(void)
{
    int32_t is = __atomic_load_n(&is_tty, __ATOMIC_RELAXED);

    if (is < 0) {
        is = isatty(STDOUT_FILENO) ? 1 : 0;
        __atomic_store_n(&is_tty, is, __ATOMIC_RELAXED);
    }
    return is;
}

/* Formats one sink's line into buf and sends it. The last byte of buf is kept for the newline. */
static void emit(const struct sinks *s,
                 int to_disk,
                 uint32_t level,
                 const char *module,
                 const char *room,
                 const char *text,
                 size_t n,
                 char *buf,
                 size_t cap)
{
    struct line l = {.p = buf, .n = 0, .cap = cap - 1};
    uint32_t format = to_disk ? s->disk_format : s->out_format;

    if (format == SX_LOG_JSON)
        line_json(&l, level, module, room, text, n);
    else
        line_text(&l, level, module, room, text, n,
                  !to_disk && (s->out_color == SX_LOG_COLOR_ON ||
                               (s->out_color == SX_LOG_COLOR_AUTO && out_is_tty())));
    l.p[l.n++] = '\n';
    if (to_disk)
        file_write(l.p, l.n);
    else
        write_all(STDOUT_FILENO, l.p, l.n);
}

void sx_log_vwrite(
    uint32_t level, const char *module, const char *room, const char *fmt, va_list ap)
{
    char text_stack[LINE_STACK], line_stack[LINE_STACK + 1024];
    char *text = text_stack, *line = line_stack, *heap = NULL;
    size_t cap = sizeof(line_stack);
    int saved = errno; /* callers log between a failure and its handling */
    va_list again;

    room = room ? room : "";
    struct sinks s = sinks_of(level, module, room);
    if (!s.on_out && !s.on_disk)
        return;
    va_copy(again, ap);
    int n = vsnprintf(text, sizeof(text_stack), fmt, ap);
    if (n < 0)
        n = 0;
    if (n > (int)LINE_MAX)
        n = (int)LINE_MAX;
    /* Escapes may make six bytes of one: only a message that fits even so uses the stack. */
    if ((size_t)n > sizeof(text_stack) / 6) {
        size_t need = (size_t)n + 1 + 6 * (size_t)n + 1024;
        heap = malloc(need);
        if (heap) {
            text = heap;
            vsnprintf(text, (size_t)n + 1, fmt, again);
            line = heap + n + 1;
            cap = need - (size_t)n - 1;
        } else if ((size_t)n >= sizeof(text_stack)) {
            n = (int)sizeof(text_stack) - 1; /* cut off rather than lost */
        }
    }
    va_end(again);
    if (s.on_out)
        emit(&s, 0, level, module, room, text, (size_t)n, line, cap);
    if (s.on_disk)
        emit(&s, 1, level, module, room, text, (size_t)n, line, cap);
    free(heap);
    errno = saved;
}

void sx_log_write(uint32_t level, const char *module, const char *room, const char *fmt, ...)
{
    va_list ap;

    va_start(ap, fmt);
    sx_log_vwrite(level, module, room, fmt, ap);
    va_end(ap);
}

/* --- configuration ---------------------------------------------------------------------------- */

/* Opens the file of a configuration; -1 with the reference's line on standard error. */
static int file_open(const char *path)
{
    if (!path || !*path) {
        fprintf(stderr, "failed to enable logging into  log-file: log file is not specified "
                        "(it can only be specified in the config file)\n");
        return -1;
    }
    int fd = open(path, O_WRONLY | O_CREAT | O_APPEND | O_CLOEXEC | O_NOCTTY, 0644);
    if (fd < 0)
        fprintf(stderr, "failed to enable logging into %s log-file: failed to open log file %s\n",
                path, path);
    return fd;
}

/* Puts a new file (taken, -1 = none) in the place of the old one, whose buffer goes out first. */
static int file_replace(int fd, uint64_t buffer_size)
{
    uint64_t cap = buffer_size ? buffer_size : BUFFER_SIZE;
    char *buffer = fd >= 0 ? malloc(cap > BUFFER_MAX ? (cap = BUFFER_MAX) : cap) : NULL;

    if (fd >= 0 && !buffer) {
        close(fd);
        return -1;
    }
    sx_lock_take(&file_lock);
    int old_fd = file_fd;
    char *old_buffer = file_buffer;
    file_flush();
    file_fd = fd;
    file_buffer = buffer;
    file_cap = buffer ? cap : 0;
    sx_lock_give(&file_lock);
    if (old_fd >= 0)
        close(old_fd);
    free(old_buffer);
    return 0;
}

int sx_log_check(const char *directives, struct sx_err *err)
{
    struct sx_log_filter f;

    return sx_log_filter_parse(&f, directives, err);
}

int sx_log_configure(const struct sx_log_conf *conf, struct sx_err *err)
{
    struct sx_log_filter out, disk;
    int fd = -1;

    int rc = sx_log_filter_parse(&out, conf->level, err);
    if (rc == 0)
        rc = sx_log_filter_parse(&disk, conf->disk_level, err);
    if (rc != 0)
        return rc;
    if (conf->on_disk)
        fd = file_open(conf->file);
    if (file_replace(fd, conf->disk_buffer_size) != 0)
        return sx_err_set(err, SX_ENOMEM, "no memory for the log file's buffer");

    sx_lock_take(&log_lock);
    out_filter = out;
    disk_filter = disk;
    is_set = 1;
    out_format = conf->format;
    out_color = conf->color;
    disk_format = conf->disk_format;
    has_disk = fd >= 0;
    int32_t max = out.max;
    if (has_disk && disk.max > max)
        max = disk.max;
    __atomic_store_n(&level_max, max, __ATOMIC_RELAXED);
    sx_lock_give(&log_lock);
    return 0;
}
