/* Path segments and names.
 *
 * The order matters: a percent-encoded slash belongs to its segment and must not split it, and no
 * dot segment is ever resolved, so nothing a client writes can reach another route than the one its
 * raw slashes name.
 *
 * Threads: any, no state. */
#include "path.h"

#include <string.h>

#include "sextant/sx_text.h"

/* Last: it poisons names. */
#include "sextant/sx_ban.h"

int rest_path_split(struct sx_str path, struct sx_str *segments)
{
    const char *p = path.p, *end = p + path.n;
    uint32_t n = 0;

    while (p < end) {
        const char *slash = memchr(p, '/', (size_t)(end - p));
        const char *stop = slash != NULL ? slash : end;

        if (stop != p) {
            if (n == REST_SEGMENTS_MAX)
                return -1;
            segments[n++] = (struct sx_str){p, (uint32_t)(stop - p), 0};
        }
        p = stop + 1;
    }
    return (int)n;
}

struct sx_str
rest_path_join(struct sx_arena *a, const struct sx_str *segments, uint32_t first, uint32_t n)
{
    struct sx_str out = {NULL, 0, 0};
    uint64_t size = 1;
    char *p;

    for (uint32_t i = first; i < n; i++)
        size += 1 + (uint64_t)segments[i].n;
    p = sx_arena_alloc(a, size);
    if (p == NULL)
        return out;
    out.p = p;
    for (uint32_t i = first; i < n; i++) {
        *p++ = '/';
        memcpy(p, segments[i].p, segments[i].n);
        p += segments[i].n;
    }
    out.n = (uint32_t)(p - out.p);
    return out;
}

static int hex(char c)
{
    if (c >= '0' && c <= '9')
        return c - '0';
    if (c >= 'a' && c <= 'f')
        return c - 'a' + 10;
    return c >= 'A' && c <= 'F' ? c - 'A' + 10 : -1;
}

static int decode(struct sx_arena *a, struct sx_str s, int plus, struct sx_str *out)
{
    const char *p = s.p, *end = s.p + s.n;
    char *w;

    while (p < end && *p != '%' && (!plus || *p != '+'))
        p++;
    if (p == end) {
        *out = s;
        return sx_utf8_valid(s.p, s.n) ? SX_OK : SX_EINPUT;
    }
    w = sx_arena_alloc(a, s.n);
    if (w == NULL)
        return SX_ENOMEM;
    out->p = w;
    out->pad = 0;
    for (p = s.p; p < end; p++) {
        if (*p == '%' && end - p > 2 && hex(p[1]) >= 0 && hex(p[2]) >= 0) {
            *w++ = (char)(hex(p[1]) * 16 + hex(p[2]));
            p += 2;
        } else {
            *w++ = plus && *p == '+' ? ' ' : *p;
        }
    }
    out->n = (uint32_t)(w - out->p);
    return sx_utf8_valid(out->p, out->n) ? SX_OK : SX_EINPUT;
}

int rest_path_decode(struct sx_arena *a, struct sx_str segment, struct sx_str *out)
{
    return decode(a, segment, 0, out);
}

int rest_query_decode(struct sx_arena *a, struct sx_str text, struct sx_str *out)
{
    return decode(a, text, 1, out);
}

/* before + s + after in the arena. Not by printf: s may hold NULs. */
static struct sx_str
join(struct sx_arena *a, const char *before, struct sx_str s, const char *after)
{
    size_t nb = strlen(before), na = strlen(after);
    char *p = sx_arena_alloc(a, nb + s.n + na + 1);

    if (p == NULL)
        return (struct sx_str){NULL, 0, 0};
    memcpy(p, before, nb);
    if (s.n != 0)
        memcpy(p + nb, s.p, s.n);
    memcpy(p + nb + s.n, after, na);
    return (struct sx_str){p, (uint32_t)(nb + s.n + na), 0};
}

/* The first character of the list that the name has; the list's order decides which is named. */
static struct sx_str forbidden(struct sx_str name, const char *list, uint32_t n_list)
{
    for (uint32_t i = 0; i < n_list; i++)
        for (uint32_t k = 0; k < name.n; k++)
            if (name.p[k] == list[i])
                return (struct sx_str){name.p + k, 1, 0};
    return (struct sx_str){NULL, 0, 0};
}

#define PREFIX "Validation error in path parameters: "

static const char strict_list[] = {'<', '>', ':', '"', '/', '\\', '|', '?', '*', 0, 0x1f};
static const char lax_list[] = {'/', 0};

struct sx_str rest_name_check(struct sx_arena *a, struct sx_str name, int strict)
{
    uint64_t chars = sx_utf8_count(name.p, name.n);
    struct sx_str bad;

    if (chars < 1 || chars > 255)
        return join(a, PREFIX "[collection_name: value \"", name,
                    "\" invalid, must be from 1 to 255 characters]");
    bad = strict ? forbidden(name, strict_list, sizeof(strict_list))
                 : forbidden(name, lax_list, sizeof(lax_list));
    if (bad.p == NULL)
        return bad;
    return join(a, PREFIX "[collection_name: collection name cannot contain \"", bad, "\" char]");
}

struct sx_str rest_vector_name_check(struct sx_arena *a, struct sx_str name)
{
    struct sx_str bad = forbidden(name, strict_list, sizeof(strict_list));
    static const struct sx_str none = {"", 0, 0};

    if (bad.p != NULL)
        return join(a, PREFIX "[vector_name: vector name cannot contain \"", bad, "\" char]");
    if (name.n > 200)
        return join(a, PREFIX "[vector_name: vector name must be at most 200 bytes long]", none,
                    "");
    return bad;
}
