/* Result codes and the error buffer.
 *
 * The list of codes lives in sx_base.h; here it is unrolled into one constant table so that a
 * transport can ask for the prefix and the statuses of any code. Library code never logs: it fills
 * a caller's `struct sx_err` and returns, and only the edges decide what to do with the text.
 *
 * A message is one line: control characters become blanks here, because texts may quote what a
 * client sent and they end up in log lines and in header-like places. It is cut at a UTF-8
 * boundary when it does not fit, so that it stays valid inside a JSON answer.
 * Thread: any; the buffer is the caller's. */
#include <stdarg.h>
#include <stdio.h>
#include <string.h>

#include "sextant/sx_base.h"

struct err_row {
    int code, http, grpc;
    const char *name, *prefix;
};

static const struct err_row err_rows[] = {
#define SX_X(name, number, prefix, http, grpc, retry) {number, http, grpc, #name, prefix},
    SX_ERROR_LIST(SX_X)
#undef SX_X
};

static const struct err_row *err_row(int code)
{
    for (uint32_t i = 0; i < SX_COUNT(err_rows); i++) {
        if (err_rows[i].code == code)
            return &err_rows[i];
    }
    return NULL;
}

/* Room of err->msg as the caller's build knows it: `size` may be smaller than ours. */
static size_t msg_room(const struct sx_err *err)
{
    size_t head = offsetof(struct sx_err, msg);

    if (err->size <= head)
        return 0;
    return err->size - head < sizeof(err->msg) ? err->size - head : sizeof(err->msg);
}

/* Makes `n` bytes of text presentable: no control characters, no half code point at the end. */
static void tidy(char *s, size_t n, int was_cut)
{
    for (size_t i = 0; i < n; i++) {
        if ((unsigned char)s[i] < 0x20 || s[i] == 0x7f)
            s[i] = ' ';
    }
    if (!was_cut)
        return;
    for (size_t back = 1; back <= 4 && back <= n; back++) {
        unsigned char c = (unsigned char)s[n - back];
        size_t need = c >= 0xf0 ? 4 : c >= 0xe0 ? 3 : c >= 0xc0 ? 2 : 1;

        if ((c & 0xc0) == 0x80)
            continue;
        if (need > back)
            s[n - back] = 0;
        return;
    }
}

static void SX_PRINTF(3, 0) fill(char *msg, size_t room, const char *fmt, va_list ap)
{
    int n = vsnprintf(msg, room, fmt, ap);

    if (n < 0) {
        msg[0] = 0;
        return;
    }
    if ((size_t)n < room)
        tidy(msg, (size_t)n, 0);
    else
        tidy(msg, room - 1, 1);
}

int sx_err_set(struct sx_err *err, int code, const char *fmt, ...)
{
    size_t room;
    va_list ap;

    if (err == NULL)
        return code;
    err->code = code;
    room = msg_room(err);
    if (room == 0)
        return code;
    va_start(ap, fmt);
    fill(err->msg, room, fmt, ap);
    va_end(ap);
    return code;
}

int sx_err_wrap(struct sx_err *err, const char *fmt, ...)
{
    char old[sizeof(err->msg)];
    size_t room, n;
    va_list ap;

    if (err == NULL)
        return SX_EINTERNAL;
    room = msg_room(err);
    if (room == 0)
        return err->code;
    memcpy(old, err->msg, room);
    old[room - 1] = 0;
    va_start(ap, fmt);
    fill(err->msg, room, fmt, ap);
    va_end(ap);
    n = strlen(err->msg);
    if (n + 1 < room) {
        int more = snprintf(err->msg + n, room - n, ": %s", old);

        if (more > 0 && (size_t)more >= room - n)
            tidy(err->msg, room - 1, 1);
    }
    return err->code;
}

const char *sx_err_name(int code)
{
    const struct err_row *row = err_row(code);

    if (code == SX_OK)
        return "OK";
    return row != NULL ? row->name : "EUNKNOWN";
}

const char *sx_err_prefix(int code)
{
    const struct err_row *row = err_row(code);

    return row != NULL ? row->prefix : "";
}

int sx_err_http(int code)
{
    const struct err_row *row = err_row(code);

    if (code == SX_OK)
        return 200;
    return row != NULL ? row->http : 500;
}

int sx_err_grpc(int code)
{
    const struct err_row *row = err_row(code);

    if (code == SX_OK)
        return 0;
    return row != NULL ? row->grpc : 13;
}
