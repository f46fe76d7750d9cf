/* Names, labels and numbers of the text exposition format.
 *
 * Labels reach us as text that the registrant has escaped. It is parsed once more here: one stray
 * quote in a collection's name would otherwise cost the operator the whole page. */
#include <math.h>
#include <string.h>

#include "sextant/sx_text.h"

#include "prom.h"

/* Last: it poisons names. */
#include "sextant/sx_ban.h"

static int is_name_char(char c, int first)
{
    return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || c == '_' || c == ':' ||
           (!first && c >= '0' && c <= '9');
}

int prom_name_ok(const char *s, uint64_t n)
{
    for (uint64_t i = 0; i < n; i++)
        if (!is_name_char(s[i], i == 0))
            return 0;
    return n != 0;
}

void prom_put_help(struct sx_buf *b, const char *s)
{
    for (; *s != '\0'; s++) {
        if (*s == '\\')
            sx_buf_adds(b, "\\\\");
        else if (*s == '\n')
            sx_buf_adds(b, "\\n");
        else
            sx_buf_addc(b, *s);
    }
}

void prom_put_u64(struct sx_buf *b, uint64_t v)
{
    char text[24];
    uint32_t at = (uint32_t)sizeof(text);

    do {
        text[--at] = (char)('0' + v % 10);
        v /= 10;
    } while (v != 0);
    sx_buf_add(b, text + at, sizeof(text) - at);
}

void prom_put_number(struct sx_buf *b, double v)
{
    char text[40];

    if (isnan(v)) {
        sx_buf_adds(b, "NaN");
    } else if (isinf(v)) {
        sx_buf_adds(b, v > 0 ? "+Inf" : "-Inf");
    } else if (v == floor(v) && fabs(v) < 9007199254740992.0) {
        if (v < 0)
            sx_buf_addc(b, '-');
        prom_put_u64(b, (uint64_t)fabs(v));
    } else {
        sx_buf_add(b, text, sx_num_format_f64(v, text));
    }
}

/* --- labels ------------------------------------------------------------------------------------
 */

/* Labels whose values are names that users gave. */
static int is_private(const char *name, uint64_t n)
{
    static const char *const names[] = {"id", "collection", "vector", "peer_id"};

    for (uint32_t i = 0; i < SX_COUNT(names); i++)
        if (strlen(names[i]) == n && memcmp(names[i], name, n) == 0)
            return 1;
    return 0;
}

/* FNV-1a: equal names give equal numbers within and between pages, which is all that is asked. */
static uint64_t hash_text(const char *s, uint64_t n)
{
    uint64_t h = 0xcbf29ce484222325u;

    for (uint64_t i = 0; i < n; i++)
        h = (h ^ (uint8_t)s[i]) * 0x100000001b3u;
    return h;
}

/* From the opening quote to past the closing one; NULL when it never comes or an escape is none. */
static const char *value_end(const char *p)
{
    if (*p != '"')
        return NULL;
    for (p++; *p != '"'; p++) {
        if (*p == '\0')
            return NULL;
        if (*p == '\\') {
            p++;
            if (*p != '\\' && *p != '"' && *p != 'n')
                return NULL;
        }
    }
    return p + 1;
}

static void put_value(struct sx_buf *b, const char *p, const char *end, int hashed)
{
    sx_buf_addc(b, '"');
    if (hashed) {
        prom_put_u64(b, hash_text(p, (uint64_t)(end - p)));
    } else {
        for (; p < end; p++) {
            if (*p == '\n')
                sx_buf_adds(b, "\\n");
            else
                sx_buf_addc(b, *p);
        }
    }
    sx_buf_addc(b, '"');
}

int prom_put_labels(struct sx_buf *b, const char *labels, int anonymize)
{
    uint64_t start = b->n;
    const char *p = labels, *name, *end;
    uint64_t n;

    while (p != NULL && *p != '\0') {
        name = p;
        while (is_name_char(*p, p == name) && *p != ':')
            p++;
        n = (uint64_t)(p - name);
        if (n == 0 || *p != '=')
            goto bad;
        end = value_end(p + 1);
        if (end == NULL || !sx_utf8_valid(p + 2, (uint64_t)(end - p) - 3))
            goto bad;
        if (b->n != start)
            sx_buf_addc(b, ',');
        sx_buf_add(b, name, n);
        sx_buf_addc(b, '=');
        put_value(b, p + 2, end - 1, anonymize && is_private(name, n));
        p = end;
        if (*p == ',')
            p++;
        else if (*p != '\0')
            goto bad;
    }
    return 1;
bad:
    b->n = start;
    return 0;
}
