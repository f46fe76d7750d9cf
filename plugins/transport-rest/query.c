/* Parameters behind the question mark, and the one path parameter that becomes an argument.
 *
 * Which parameters an operation has, and what its timeout accepts, follows from its class: reads of
 * points take at least one second and say so as a parse error, changes of collections say so as a
 * validation error, writes of points accept zero. The first bad parameter in the order of the
 * string is the one reported. Values are decoded before they are looked at.
 *
 * Threads: any, no state. */
#include "query.h"

#include <string.h>

#include "path.h"

/* Last: it poisons names. */
#include "sextant/sx_ban.h"

enum { Q_NONE = 0, Q_READ, Q_WRITE, Q_META };

/* What of these a caller may not name twice. */
enum { SEEN_WAIT = 1, SEEN_ORDERING = 2, SEEN_TIMEOUT = 4, SEEN_CONSISTENCY = 8 };

static uint32_t group_of(uint32_t op)
{
    switch (op) {
    case SX_OP_POINT_GET:
    case SX_OP_POINTS_GET:
    case SX_OP_SCROLL:
    case SX_OP_COUNT:
    case SX_OP_FACET:
    case SX_OP_EXPLAIN:
    case SX_OP_QUERY:
    case SX_OP_QUERY_BATCH:
    case SX_OP_QUERY_GROUPS:
    case SX_OP_SEARCH:
    case SX_OP_SEARCH_BATCH:
    case SX_OP_SEARCH_GROUPS:
    case SX_OP_RECOMMEND:
    case SX_OP_RECOMMEND_BATCH:
    case SX_OP_RECOMMEND_GROUPS:
    case SX_OP_DISCOVER:
    case SX_OP_DISCOVER_BATCH:
    case SX_OP_MATRIX_PAIRS:
    case SX_OP_MATRIX_OFFSETS:
        return Q_READ;
    case SX_OP_POINTS_UPSERT:
    case SX_OP_POINTS_DELETE:
    case SX_OP_VECTORS_UPDATE:
    case SX_OP_VECTORS_DELETE:
    case SX_OP_PAYLOAD_SET:
    case SX_OP_PAYLOAD_OVERWRITE:
    case SX_OP_PAYLOAD_DELETE:
    case SX_OP_PAYLOAD_CLEAR:
    case SX_OP_POINTS_BATCH:
    case SX_OP_INDEX_CREATE:
    case SX_OP_INDEX_DELETE:
    case SX_OP_VECTOR_NAME_CREATE:
    case SX_OP_VECTOR_NAME_DELETE:
        return Q_WRITE;
    case SX_OP_ALIASES_UPDATE:
    case SX_OP_COLLECTION_CREATE:
    case SX_OP_COLLECTION_UPDATE:
    case SX_OP_COLLECTION_DELETE:
    case SX_OP_COLLECTION_CLUSTER_SET:
    case SX_OP_SHARD_KEY_CREATE:
    case SX_OP_SHARD_KEY_DELETE:
        return Q_META;
    default:
        return Q_NONE;
    }
}

struct parse {
    struct sx_op *op;
    struct sx_str *text;
    uint32_t group, seen;
};

static int name_is(struct sx_str s, const char *word)
{
    return strlen(word) == s.n && memcmp(s.p, word, s.n) == 0;
}

/* The 400 with a constant reason. */
static int bad(struct parse *q, const char *reason)
{
    *q->text = sx_arena_printf(q->op->arena, "Deserialize error in query parameters: %s", reason);
    return q->text->p != NULL ? SX_EINPUT : SX_ENOMEM;
}

static int bad_value(struct parse *q, const char *before, struct sx_str v, const char *after)
{
    *q->text = sx_arena_printf(q->op->arena, "Deserialize error in query parameters: %s%.*s%s",
                               before, (int)v.n, v.p, after);
    return q->text->p != NULL ? SX_EINPUT : SX_ENOMEM;
}

/* A u64 as a Rust program reads it; the reason of a refusal, or NULL. */
static const char *number(struct sx_str v, uint64_t *out)
{
    uint64_t n = 0;
    uint32_t i = 0;

    if (v.n == 0)
        return "cannot parse integer from empty string";
    if (v.p[0] == '+' && v.n > 1)
        i = 1;
    for (; i < v.n; i++) {
        uint64_t digit = (uint64_t)(unsigned char)v.p[i] - '0';

        if (digit > 9)
            return "invalid digit found in string";
        if (n > (UINT64_MAX - digit) / 10)
            return "number too large to fit in target type";
        n = n * 10 + digit;
    }
    *out = n;
    return NULL;
}

static int is_negative_number(struct sx_str v)
{
    if (v.n < 2 || v.p[0] != '-')
        return 0;
    for (uint32_t i = 1; i < v.n; i++)
        if (v.p[i] < '0' || v.p[i] > '9')
            return 0;
    return 1;
}

static int timeout_param(struct parse *q, struct sx_str v)
{
    uint64_t seconds = 0;
    const char *reason = number(v, &seconds);

    if (reason != NULL && q->group == Q_WRITE && is_negative_number(v))
        return bad(q, "std::time::Duration cannot be negative");
    if (reason != NULL)
        return bad(q, reason);
    if (seconds == 0 && q->group == Q_READ)
        return bad(q, "invalid value: integer `0`, expected a nonzero u64");
    if (seconds == 0 && q->group == Q_META) {
        *q->text =
            sx_arena_printf(q->op->arena, "Validation error in query parameters: [timeout: value 0 "
                                          "invalid, must be 1 or larger]");
        return q->text->p != NULL ? SX_EVALID : SX_ENOMEM;
    }
    /* Zero is asked for, and "not given" is zero too: one millisecond is as good as none. */
    q->op->timeout_ms = seconds > UINT64_MAX / 1000 ? UINT64_MAX : seconds * 1000;
    if (seconds == 0)
        q->op->timeout_ms = 1;
    return SX_OK;
}

static int wait_param(struct parse *q, struct sx_str v)
{
    if (name_is(v, "true"))
        q->op->flags |= SX_OP_WAIT;
    else if (!name_is(v, "false"))
        return bad(q, "provided string was not `true` or `false`");
    return SX_OK;
}

static int ordering_param(struct parse *q, struct sx_str v)
{
    if (name_is(v, "weak"))
        q->op->ordering = 0;
    else if (name_is(v, "medium"))
        q->op->ordering = 1;
    else if (name_is(v, "strong"))
        q->op->ordering = 2;
    else
        return bad_value(q, "unknown variant `", v,
                         "`, expected one of `weak`, `medium`, `strong`");
    return SX_OK;
}

static int consistency_param(struct parse *q, struct sx_str v)
{
    uint64_t n = 0;

    if (v.n == 0)
        return SX_OK;
    if (name_is(v, "majority"))
        q->op->consistency = SX_CONSISTENCY_MAJORITY;
    else if (name_is(v, "quorum"))
        q->op->consistency = SX_CONSISTENCY_QUORUM;
    else if (name_is(v, "all"))
        q->op->consistency = SX_CONSISTENCY_ALL;
    else if (number(v, &n) == NULL && n != 0)
        q->op->consistency = n < 0x7fffffff ? (uint32_t)n : 0x7fffffff;
    else
        return bad_value(q, "failed to deserialize read consistency query parameter value '", v,
                         "'");
    return SX_OK;
}

static int once(struct parse *q, uint32_t bit, const char *name)
{
    if ((q->seen & bit) != 0)
        return bad_value(q, "duplicate field `", (struct sx_str){name, (uint32_t)strlen(name), 0},
                         "`");
    q->seen |= bit;
    return SX_OK;
}

static int parameter(struct parse *q, struct sx_str name, struct sx_str v)
{
    int rc = SX_OK;

    if (name_is(name, "timeout") && q->group != Q_NONE) {
        rc = once(q, SEEN_TIMEOUT, "timeout");
        return rc == SX_OK ? timeout_param(q, v) : rc;
    }
    if (name_is(name, "wait") && q->group == Q_WRITE) {
        rc = once(q, SEEN_WAIT, "wait");
        return rc == SX_OK ? wait_param(q, v) : rc;
    }
    if (name_is(name, "ordering") && q->group == Q_WRITE) {
        rc = once(q, SEEN_ORDERING, "ordering");
        return rc == SX_OK ? ordering_param(q, v) : rc;
    }
    if (name_is(name, "consistency") && q->group == Q_READ) {
        rc = once(q, SEEN_CONSISTENCY, "consistency");
        return rc == SX_OK ? consistency_param(q, v) : rc;
    }
    return rc;
}

/* One "name=value" piece. */
static int pair(struct parse *q, const char *p, const char *end)
{
    const char *eq = memchr(p, '=', (size_t)(end - p));
    const char *stop = eq != NULL ? eq : end;
    struct sx_str name, value = {"", 0, 0};
    int rc;

    rc = rest_query_decode(q->op->arena, (struct sx_str){p, (uint32_t)(stop - p), 0}, &name);
    if (rc == SX_EINPUT) /* no UTF-8: nobody's name */
        return SX_OK;
    if (rc == SX_OK && eq != NULL)
        rc = rest_query_decode(q->op->arena, (struct sx_str){eq + 1, (uint32_t)(end - eq - 1), 0},
                               &value);
    if (rc == SX_EINPUT) {
        value = (struct sx_str){"\xef\xbf\xbd", 3, 0};
        rc = SX_OK;
    }
    return rc == SX_OK ? parameter(q, name, value) : rc;
}

/* The field of an index to delete: the second path parameter as a path into payloads. */
static int index_field(struct sx_op *op, struct sx_str *text)
{
    struct sx_args_field *args = sx_arena_zalloc(op->arena, sizeof(*args));
    int rc;

    if (args == NULL)
        return SX_ENOMEM;
    op->args = args;
    rc = sx_path_parse(op->arena, op->name, &args->field, NULL);
    if (rc != SX_EINPUT)
        return rc;
    *text = sx_arena_printf(op->arena,
                            "Deserialize error in path parameters: Invalid json path: '%.*s'",
                            (int)op->name.n, op->name.p);
    return text->p != NULL ? SX_EINPUT : SX_ENOMEM;
}

int rest_query_parse(struct sx_op *op, struct sx_str query, struct sx_str *text)
{
    struct parse q = {op, text, group_of(op->code), 0};
    const char *p = query.p, *end;
    int rc = op->code == SX_OP_INDEX_DELETE ? index_field(op, text) : SX_OK;

    if (rc < 0 || q.group == Q_NONE || query.n == 0)
        return rc;
    end = p + query.n;
    while (p < end && rc == SX_OK) {
        const char *amp = memchr(p, '&', (size_t)(end - p));
        const char *stop = amp != NULL ? amp : end;

        if (stop != p)
            rc = pair(&q, p, stop);
        p = stop + 1;
    }
    return rc;
}
