/* Reading a node as what a key needs, and saying exactly what is wrong with it.
 *
 * The rules are those operators know: numbers, booleans and strings turn into each other where the
 * text allows it ("6333" is a port, `on` is true, an unquoted key of digits is a string); a float
 * becomes an integer by rounding; words are case-sensitive. The texts are part of the contract
 * (scripts grep for them): "invalid type: string "abc", expected an integer for key `k` in
 * <where>". <where> is a file or "the environment"; a number that is merely too large for its type,
 * and an unknown word, name no place. */
#include <errno.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>

#include "conf.h"

void sx_conf_f64_text(double v, char out[40])
{
    int digits;

    for (digits = 1; digits < 17; digits++) {
        (void)snprintf(out, 40, "%.*g", digits, v);
        if (strtod(out, NULL) == v)
            break;
    }
    if (digits == 17)
        (void)snprintf(out, 40, "%.17g", v);
    if (out[strcspn(out, ".ein")] == '\0')
        (void)strcat(out, ".0");
}

/* `string "abc"`, "unit value", ...: what was found. */
static void found_text(const struct sx_conf_node *v, char out[120])
{
    char num[40];

    switch (v->kind) {
    case SX_CONF_NULL:
        (void)snprintf(out, 120, "unit value");
        break;
    case SX_CONF_BOOL:
        (void)snprintf(out, 120, "boolean `%s`", v->v.b ? "true" : "false");
        break;
    case SX_CONF_I64:
        (void)snprintf(out, 120, "64-bit integer `%lld`", (long long)v->v.i);
        break;
    case SX_CONF_U64:
        (void)snprintf(out, 120, "64-bit unsigned integer `%llu`", (unsigned long long)v->v.u);
        break;
    case SX_CONF_F64:
        sx_conf_f64_text(v->v.f, num);
        (void)snprintf(out, 120, "floating point `%s`", num);
        break;
    case SX_CONF_STR:
        (void)snprintf(out, 120, "string \"%.90s\"", v->v.s);
        break;
    case SX_CONF_MAP:
        (void)snprintf(out, 120, "map");
        break;
    default:
        (void)snprintf(out, 120, "sequence");
    }
}

static int
type_error(const struct sx_conf_node *v, const char *path, const char *expected, struct sx_err *err)
{
    char found[120];

    found_text(v, found);
    return sx_err_set(err, SX_EINPUT, "invalid type: %s, expected %s for key `%s`%s%s", found,
                      expected, path, v->origin != NULL ? " in " : "",
                      v->origin != NULL ? v->origin : "");
}

/* 1 true, 0 false, -1 neither. */
static int bool_word(const char *s)
{
    static const char *const yes[] = {"true", "1", "on", "yes"};
    static const char *const no[] = {"false", "0", "off", "no"};
    uint32_t i;

    for (i = 0; i < SX_COUNT(yes); i++) {
        if (strcasecmp(s, yes[i]) == 0)
            return 1;
        if (strcasecmp(s, no[i]) == 0)
            return 0;
    }
    return -1;
}

int sx_conf_as_bool(struct sx_conf_node *v, const char *path, struct sx_err *err)
{
    int b;

    switch (v->kind) {
    case SX_CONF_BOOL:
        return SX_OK;
    case SX_CONF_I64:
    case SX_CONF_U64:
        b = v->v.u != 0;
        break;
    case SX_CONF_F64:
        b = v->v.f != 0;
        break;
    case SX_CONF_STR:
        b = bool_word(v->v.s);
        if (b < 0)
            return type_error(v, path, "a boolean", err);
        break;
    default:
        return type_error(v, path, "a boolean", err);
    }
    v->kind = SX_CONF_BOOL;
    v->v.b = (uint32_t)b;
    return SX_OK;
}

/* A whole decimal number with an optional sign; 0 when the text is anything else. */
static int text_is_int(const char *s, struct sx_conf_node *v)
{
    const char *digits = s + (*s == '+' || *s == '-');
    uint64_t u;

    if (*digits == '\0' || digits[strspn(digits, "0123456789")] != '\0')
        return 0;
    errno = 0;
    u = strtoull(digits, NULL, 10);
    if (errno != 0 || (*s == '-' && u > (uint64_t)INT64_MAX))
        return 0;
    if (*s == '-') {
        v->kind = SX_CONF_I64;
        v->v.i = -(int64_t)u;
    } else {
        v->kind = u > (uint64_t)INT64_MAX ? SX_CONF_U64 : SX_CONF_I64;
        v->v.u = u;
    }
    return 1;
}

static int as_int(struct sx_conf_node *v, const char *path, struct sx_err *err)
{
    int b;

    switch (v->kind) {
    case SX_CONF_I64:
    case SX_CONF_U64:
        return SX_OK;
    case SX_CONF_BOOL:
        b = (int)v->v.b;
        break;
    case SX_CONF_F64:
        if (!(fabs(v->v.f) < 9.0e18))
            return type_error(v, path, "an integer", err);
        v->v.i = (int64_t)round(v->v.f);
        v->kind = SX_CONF_I64;
        return SX_OK;
    case SX_CONF_STR:
        if (text_is_int(v->v.s, v))
            return SX_OK;
        b = bool_word(v->v.s);
        if (b < 0)
            return type_error(v, path, "an integer", err);
        break;
    default:
        return type_error(v, path, "an integer", err);
    }
    v->kind = SX_CONF_I64;
    v->v.i = b;
    return SX_OK;
}

int sx_conf_as_u64(struct sx_conf_node *v, const char *path, uint64_t max, struct sx_err *err)
{
    const char *expected = max == UINT16_MAX   ? "an unsigned 16 bit integer"
                           : max == UINT32_MAX ? "an unsigned 32 bit integer"
                                               : "an unsigned 64 bit integer";
    int rc = as_int(v, path, err);

    if (rc != SX_OK)
        return rc;
    if (v->kind == SX_CONF_I64 && v->v.i < 0)
        return type_error(v, path, expected, err);
    if (v->v.u > max)
        return sx_err_set(err, SX_EINPUT,
                          "invalid type: 64-bit unsigned integer `%llu`, expected %s for key `%s`",
                          (unsigned long long)v->v.u, expected, path);
    return SX_OK;
}

int sx_conf_as_i64(struct sx_conf_node *v, const char *path, struct sx_err *err)
{
    int rc = as_int(v, path, err);

    if (rc != SX_OK)
        return rc;
    if (v->kind == SX_CONF_U64)
        return type_error(v, path, "a signed 64 bit integer", err);
    return SX_OK;
}

int sx_conf_as_f64(struct sx_conf_node *v, const char *path, struct sx_err *err)
{
    double f;
    char *end;
    int b;

    switch (v->kind) {
    case SX_CONF_F64:
        return SX_OK;
    case SX_CONF_I64:
        f = (double)v->v.i;
        break;
    case SX_CONF_U64:
        f = (double)v->v.u;
        break;
    case SX_CONF_BOOL:
        f = v->v.b;
        break;
    case SX_CONF_STR:
        f = strtod(v->v.s, &end);
        if (*v->v.s == '\0' || *end != '\0' || strpbrk(v->v.s, "xX \t\n") != NULL) {
            b = bool_word(v->v.s);
            if (b < 0)
                return type_error(v, path, "a floating point", err);
            f = b;
        }
        break;
    default:
        return type_error(v, path, "a floating point", err);
    }
    v->kind = SX_CONF_F64;
    v->v.f = f;
    return SX_OK;
}

int sx_conf_as_str(struct sx_arena *a, struct sx_conf_node *v, const char *path, struct sx_err *err)
{
    char num[40];
    char *s;

    switch (v->kind) {
    case SX_CONF_STR:
        return SX_OK;
    case SX_CONF_I64:
        (void)snprintf(num, sizeof(num), "%lld", (long long)v->v.i);
        break;
    case SX_CONF_U64:
        (void)snprintf(num, sizeof(num), "%llu", (unsigned long long)v->v.u);
        break;
    case SX_CONF_F64:
        sx_conf_f64_text(v->v.f, num);
        break;
    case SX_CONF_BOOL:
        (void)snprintf(num, sizeof(num), "%s", v->v.b ? "true" : "false");
        break;
    default:
        return type_error(v, path, "a string", err);
    }
    s = sx_arena_strdup(a, num, strlen(num));
    if (s == NULL)
        return sx_err_set(err, SX_ENOMEM, "out of memory");
    v->kind = SX_CONF_STR;
    v->v.s = s;
    return SX_OK;
}

/* "a, b" -> [a, b]: the only way to give a list in an environment variable. The keys of the
 * reference that are lists do not come here. */
static int split(struct sx_arena *a, struct sx_conf_node *v)
{
    const char *s = v->v.s, *end;
    struct sx_conf_node *c;

    v->kind = SX_CONF_LIST;
    v->first = v->last = NULL;
    for (; *s != '\0'; s = *end != '\0' ? end + 1 : end) {
        s += strspn(s, " ");
        end = s + strcspn(s, ",");
        if (end == s)
            continue;
        c = sx_conf_node_new(a, SX_CONF_STR);
        if (c == NULL || (c->v.s = sx_arena_strdup(a, s, (uint64_t)(end - s))) == NULL)
            return SX_ENOMEM;
        sx_conf_node_append(v, c);
    }
    return SX_OK;
}

int sx_conf_as_strs(struct sx_arena *a,
                    struct sx_conf_node *v,
                    const char *path,
                    struct sx_err *err)
{
    struct sx_conf_node *c;
    int rc;

    if (v->kind == SX_CONF_STR)
        return split(a, v) == SX_OK ? SX_OK : sx_err_set(err, SX_ENOMEM, "out of memory");
    if (v->kind != SX_CONF_LIST)
        return type_error(v, path, "a sequence", err);
    for (c = v->first; c != NULL; c = c->next)
        if ((rc = sx_conf_as_str(a, c, path, err)) != SX_OK)
            return rc;
    return SX_OK;
}

int sx_conf_as_map(struct sx_conf_node *v, const char *path, struct sx_err *err)
{
    return v->kind == SX_CONF_MAP ? SX_OK : type_error(v, path, "a map", err);
}

static int as_word(struct sx_conf_node *v, const struct sx_conf_key *k, struct sx_err *err)
{
    const char *p = k->words, *bar = strchr(p, '|');
    int name_n = (int)(bar - p);
    uint64_t n;

    if (v->kind != SX_CONF_STR)
        return sx_err_set(err, SX_EINPUT,
                          "value of enum %.*s should be represented by either string or table with "
                          "exactly one key for key `%s`",
                          name_n, k->words, k->path);
    for (n = strlen(v->v.s); bar != NULL; bar = strchr(p, '|')) {
        p = bar + 1;
        if (strncmp(p, v->v.s, n) == 0 && (p[n] == '|' || p[n] == '\0'))
            return SX_OK;
    }
    return sx_err_set(err, SX_EINPUT,
                      "enum %.*s does not have variant constructor %.80s for key `%s`", name_n,
                      k->words, v->v.s, k->path);
}

static int as_color(struct sx_conf_node *v, const struct sx_conf_key *k, struct sx_err *err)
{
    if (v->kind == SX_CONF_BOOL || (v->kind == SX_CONF_STR && strcmp(v->v.s, "auto") == 0))
        return SX_OK;
    if (v->kind == SX_CONF_STR && bool_word(v->v.s) >= 0)
        return sx_conf_as_bool(v, k->path, err);
    return type_error(v, k->path, "\"auto\" or a boolean", err);
}

int sx_conf_as_key(struct sx_arena *a,
                   struct sx_conf_node *v,
                   const struct sx_conf_key *k,
                   struct sx_err *err)
{
    if (v->kind == SX_CONF_NULL && (k->flags & SX_CONF_OPT) != 0)
        return SX_OK;
    switch (k->type) {
    case SX_CONF_T_STR:
        return sx_conf_as_str(a, v, k->path, err);
    case SX_CONF_T_U16:
        return sx_conf_as_u64(v, k->path, UINT16_MAX, err);
    case SX_CONF_T_U32:
        return sx_conf_as_u64(v, k->path, UINT32_MAX, err);
    case SX_CONF_T_U64:
        return sx_conf_as_u64(v, k->path, UINT64_MAX, err);
    case SX_CONF_T_I64:
        return sx_conf_as_i64(v, k->path, err);
    case SX_CONF_T_F64:
        return sx_conf_as_f64(v, k->path, err);
    case SX_CONF_T_BOOL:
        return sx_conf_as_bool(v, k->path, err);
    case SX_CONF_T_WORD:
        return as_word(v, k, err);
    case SX_CONF_T_COLOR:
        return as_color(v, k, err);
    case SX_CONF_T_STRS:
        return sx_conf_as_strs(a, v, k->path, err);
    case SX_CONF_T_LIST:
        return v->kind == SX_CONF_LIST ? SX_OK : type_error(v, k->path, "a sequence", err);
    default:
        return sx_conf_as_map(v, k->path, err);
    }
}
