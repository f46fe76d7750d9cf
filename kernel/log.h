/* The log: one line per event on standard output and, if configured, in a file.
 *
 * A line's target is "<module>::<room>"; a room that contains "::" is the whole target itself, for
 * lines whose target is part of the wire contract (the access log). Directives are a default level
 * and `name=level` pairs, comma separated, as in `INFO,wal=debug`: a name matches a room, a module
 * or the head of a target, `sextant` and `qdrant` match every target, and the longest match wins.
 *
 * Thread: any, from the first moment of the process (INFO, text, standard output until configured).
 */
#ifndef SX_KERNEL_LOG_H
#define SX_KERNEL_LOG_H

#include <stdarg.h>

#include "sextant/sx_service.h"

enum { SX_LOG_TEXT = 0, SX_LOG_JSON = 1 };
enum { SX_LOG_COLOR_AUTO = 0, SX_LOG_COLOR_ON = 1, SX_LOG_COLOR_OFF = 2 };

struct sx_log_conf {
    const char *level; /* directives, NULL = INFO */
    uint32_t format;   /* SX_LOG_TEXT, SX_LOG_JSON */
    uint32_t color;    /* SX_LOG_COLOR_* */
    /* The file. */
    uint32_t on_disk; /* 0/1 */
    uint32_t disk_format;
    const char *file;
    const char *disk_level;    /* NULL = INFO */
    uint64_t disk_buffer_size; /* bytes, 0 = 8192 */
};

/* [A] Replaces the whole configuration; borrows conf. A directive that cannot be read changes
 * nothing and returns SX_EINPUT. A file that cannot be opened is not an error: the reference's line
 * goes to standard error and file logging is off. */
int sx_log_configure(const struct sx_log_conf *conf, struct sx_err *err);
/* [A] checks directives without using them. */
int sx_log_check(const char *directives, struct sx_err *err);

/* [A] 1 when a line would be written. */
uint32_t sx_log_on(uint32_t level, const char *module, const char *room);
/* [A] formats and writes one line; control characters in the text are escaped. */
void sx_log_write(uint32_t level, const char *module, const char *room, const char *fmt, ...)
    SX_PRINTF(4, 5);
void sx_log_vwrite(uint32_t level,
                   const char *module,
                   const char *room,
                   const char *fmt,
                   va_list ap) SX_PRINTF(4, 0);
/* [A] writes out the buffer of the file. */
void sx_log_flush(void);

/* The kernel's own lines: sx_klog(SX_LOG_INFO, "phase", "..."). */
#define sx_klog(level, room, ...) sx_log_write((level), "sextant", (room), __VA_ARGS__)

#endif
