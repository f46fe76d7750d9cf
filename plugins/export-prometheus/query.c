/* The page's query string: anonymize, per_collection, timeout. Texts are those of the reference. */
#include <string.h>

#include "prom.h"

/* Last: it poisons names. */
#include "sextant/sx_ban.h"

static int is_key(struct sx_str key, const char *name)
{
    return key.n == strlen(name) && memcmp(key.p, name, key.n) == 0;
}

static int parse_bool(struct sx_str v, uint32_t *out, struct sx_err *err)
{
    if (is_key(v, "true"))
        *out = 1;
    else if (is_key(v, "false"))
        *out = 0;
    else
        return sx_err_set(
            err, SX_EBADREQ,
            "Deserialize error in query parameters: provided string was not `true` or "
            "`false`");
    return SX_OK;
}

static int parse_timeout(struct sx_str v, uint64_t *out, struct sx_err *err)
{
    uint64_t sum = 0;

    if (v.n == 0)
        return sx_err_set(err, SX_EBADREQ,
                          "Deserialize error in query parameters: cannot parse integer from empty "
                          "string");
    for (uint32_t i = v.n > 1 && v.p[0] == '+' ? 1 : 0; i < v.n; i++) {
        uint32_t digit = (uint32_t)(v.p[i] - '0');
        if (v.p[i] < '0' || v.p[i] > '9')
            return sx_err_set(err, SX_EBADREQ,
                              "Deserialize error in query parameters: invalid digit found in "
                              "string");
        if (sum > (UINT64_MAX - digit) / 10)
            return sx_err_set(err, SX_EBADREQ,
                              "Deserialize error in query parameters: number too large to fit in "
                              "target type");
        sum = sum * 10 + digit;
    }
    if (sum == 0)
        return sx_err_set(
            err, SX_EVALID,
            "Validation error in query parameters: [timeout: value 0 invalid, must be "
            "1 or larger]");
    *out = sum;
    return SX_OK;
}

/* Bits of the keys seen, so that a key given twice is refused. */
static int parse_pair(
    struct sx_str key, struct sx_str v, struct prom_query *q, uint32_t *seen, struct sx_err *err)
{
    static const char *const names[] = {"anonymize", "per_collection", "timeout"};

    for (uint32_t i = 0; i < SX_COUNT(names); i++) {
        if (!is_key(key, names[i]))
            continue;
        if (*seen & (1u << i))
            return sx_err_set(err, SX_EBADREQ,
                              "Deserialize error in query parameters: duplicate field `%s`",
                              names[i]);
        *seen |= 1u << i;
        if (i == 2)
            return parse_timeout(v, &q->timeout, err);
        return parse_bool(v, i == 0 ? &q->anonymize : &q->per_collection, err);
    }
    return SX_OK;
}

int prom_query_parse(struct sx_str text, struct prom_query *out, struct sx_err *err)
{
    struct prom_query q = {0};
    uint32_t seen = 0, at = 0;
    int rc;

    while (at < text.n) {
        struct sx_str key = {text.p + at, 0, 0}, v = {text.p + at, 0, 0};
        while (at < text.n && text.p[at] != '&' && text.p[at] != '=') {
            at++;
            key.n++;
        }
        if (at < text.n && text.p[at] == '=') {
            v.p = text.p + ++at;
            while (at < text.n && text.p[at] != '&') {
                at++;
                v.n++;
            }
        }
        at++; /* past the '&' */
        rc = parse_pair(key, v, &q, &seen, err);
        if (rc != SX_OK)
            return rc;
    }
    *out = q;
    return SX_OK;
}
