/* YAML text -> configuration nodes. The only room that knows yaml.h.
 *
 * libyaml's event parser is walked with a stack of our own, so that a hostile file cannot overflow
 * the C stack: nesting is bounded by MAX_DEPTH, far above any real configuration. Anchors and
 * aliases are taken (operators share blocks with them); an alias copies the nodes, and the copied
 * nodes are counted against MAX_NODES, so that a few lines cannot unfold into gigabytes.
 *
 * Scalars are typed as YAML's core schema says; quoted ones are strings. What a key finally needs
 * is decided later (conf_coerce.c), so `http_port: "6333"` is as good as `http_port: 6333`. */
#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>
#include <yaml.h>

#include "conf.h"

#define MAX_DEPTH   64u
#define MAX_NODES   200000u
#define MAX_FILE    (16u << 20)
#define MAX_ANCHORS 256u

struct frame {
    struct sx_conf_node *node;
    const char *key; /* key read, value awaited */
};

struct anchor {
    const char *name;
    struct sx_conf_node *node;
};

struct parse {
    struct sx_arena *a;
    const char *name;
    struct frame stack[MAX_DEPTH];
    uint32_t depth, n_nodes, n_anchors;
    struct anchor anchors[MAX_ANCHORS];
    struct sx_conf_node *root;
};

/* --- scalars ---------------------------------------------------------------------------------- */

static int is_one_of(const char *s, const char *const *words)
{
    for (; *words != NULL; words++)
        if (strcmp(s, *words) == 0)
            return 1;
    return 0;
}

static int scalar_is_int(const char *s, struct sx_conf_node *v)
{
    const char *digits = s + (*s == '-' || *s == '+');
    uint64_t u;
    int base = 10;
    char *end;

    if (strncmp(digits, "0x", 2) == 0)
        base = 16;
    else if (strncmp(digits, "0o", 2) == 0)
        base = 8;
    if (base != 10)
        digits += 2;
    if (*digits == '\0' || digits[strspn(digits, "0123456789abcdefABCDEF")] != '\0')
        return 0;
    errno = 0;
    u = strtoull(digits, &end, base);
    if (errno != 0 || *end != '\0')
        return 0;
    if (*s == '-') {
        if (u > (uint64_t)INT64_MAX + 1)
            return 0;
        v->v.i = u == 0 ? 0 : -(int64_t)(u - 1) - 1;
        v->kind = SX_CONF_I64;
        return 1;
    }
    v->v.u = u;
    v->kind = u > (uint64_t)INT64_MAX ? SX_CONF_U64 : SX_CONF_I64;
    return 1;
}

static int scalar_is_float(const char *s, struct sx_conf_node *v)
{
    static const char *const inf[] = {".inf", ".Inf", ".INF", "+.inf", "+.Inf", "+.INF", NULL};
    static const char *const ninf[] = {"-.inf", "-.Inf", "-.INF", NULL};
    static const char *const nan[] = {".nan", ".NaN", ".NAN", NULL};
    char *end;

    v->kind = SX_CONF_F64;
    if (is_one_of(s, inf) || is_one_of(s, ninf)) {
        v->v.f = *s == '-' ? -__builtin_inf() : __builtin_inf();
        return 1;
    }
    if (is_one_of(s, nan)) {
        v->v.f = __builtin_nan("");
        return 1;
    }
    if (s[strspn(s, "0123456789.eE+-")] != '\0' || s[strcspn(s, "0123456789")] == '\0')
        return 0;
    v->v.f = strtod(s, &end);
    return *end == '\0';
}

static void scalar_type(struct sx_conf_node *v, const char *s, int is_plain)
{
    static const char *const nulls[] = {"", "~", "null", "Null", "NULL", NULL};
    static const char *const trues[] = {"true", "True", "TRUE", NULL};
    static const char *const falses[] = {"false", "False", "FALSE", NULL};

    if (is_plain) {
        if (is_one_of(s, nulls)) {
            v->kind = SX_CONF_NULL;
            return;
        }
        if (is_one_of(s, trues) || is_one_of(s, falses)) {
            v->kind = SX_CONF_BOOL;
            v->v.b = is_one_of(s, trues) ? 1 : 0;
            return;
        }
        if (scalar_is_int(s, v) || scalar_is_float(s, v))
            return;
    }
    v->kind = SX_CONF_STR;
    v->v.s = s;
}

/* --- events ----------------------------------------------------------------------------------- */

static int fail_at(const struct parse *ps, yaml_mark_t at, struct sx_err *err, const char *text)
{
    return sx_err_set(err, SX_EINPUT, "%s at byte %zu line %zu column %zu in %s", text, at.index,
                      at.line + 1, at.column + 1, ps->name);
}

static int fail_yaml(const struct parse *ps, const yaml_parser_t *yp, struct sx_err *err)
{
    char text[160];
    const char *context = yp->context;

    if (context != NULL && (strcmp(context, "while parsing a block node") == 0 ||
                            strcmp(context, "while parsing a flow node") == 0))
        context = "while parsing a node";
    if (yp->error == YAML_MEMORY_ERROR)
        return sx_err_set(err, SX_ENOMEM, "out of memory while reading %s", ps->name);
    if (yp->error == YAML_READER_ERROR) {
        yaml_mark_t at = yp->mark;

        at.index = yp->problem_offset;
        return fail_at(ps, at, err, yp->problem);
    }
    (void)snprintf(text, sizeof(text), "%s%s%s", context != NULL ? context : "",
                   context != NULL ? ", " : "", yp->problem != NULL ? yp->problem : "bad syntax");
    return fail_at(ps, yp->problem_mark, err, text);
}

static struct sx_conf_node *node_at(struct parse *ps, uint32_t kind, yaml_mark_t at)
{
    struct sx_conf_node *v;

    if (++ps->n_nodes > MAX_NODES)
        return NULL;
    v = sx_conf_node_new(ps->a, kind);
    if (v == NULL)
        return NULL;
    v->source = SX_CONF_SRC_FILE;
    v->origin = ps->name;
    v->line = (uint32_t)at.line + 1;
    v->col = (uint32_t)at.column + 1;
    return v;
}

static struct sx_conf_node *node_copy(struct parse *ps, const struct sx_conf_node *from)
{
    struct sx_conf_node *v, *c;
    const struct sx_conf_node *fc;

    if (++ps->n_nodes > MAX_NODES || (v = sx_conf_node_new(ps->a, from->kind)) == NULL)
        return NULL;
    *v = *from;
    v->next = v->first = v->last = NULL;
    for (fc = from->first; fc != NULL; fc = fc->next) {
        if ((c = node_copy(ps, fc)) == NULL)
            return NULL;
        sx_conf_node_append(v, c);
    }
    return v;
}

/* Puts a finished or opened node where the innermost open one awaits it. */
static int place(struct parse *ps, struct sx_conf_node *v)
{
    struct frame *f;

    if (ps->depth == 0) {
        ps->root = v;
        return SX_OK;
    }
    f = &ps->stack[ps->depth - 1];
    if (f->node->kind == SX_CONF_LIST) {
        sx_conf_node_append(f->node, v);
        return SX_OK;
    }
    if (f->key == NULL)
        return SX_EINPUT; /* a map or list as key */
    sx_conf_node_put(f->node, f->key, v);
    f->key = NULL;
    return SX_OK;
}

static int awaits_key(const struct parse *ps)
{
    const struct frame *f = ps->depth > 0 ? &ps->stack[ps->depth - 1] : NULL;

    return f != NULL && f->node->kind == SX_CONF_MAP && f->key == NULL;
}

static int anchor_keep(struct parse *ps, const yaml_char_t *name, struct sx_conf_node *v)
{
    if (name == NULL)
        return SX_OK;
    if (ps->n_anchors == MAX_ANCHORS)
        return SX_EINPUT;
    ps->anchors[ps->n_anchors].name =
        sx_arena_strdup(ps->a, (const char *)name, strlen((const char *)name));
    ps->anchors[ps->n_anchors].node = v;
    return ps->anchors[ps->n_anchors++].name != NULL ? SX_OK : SX_ENOMEM;
}

static int event_scalar(struct parse *ps, const yaml_event_t *ev, struct sx_err *err)
{
    const char *s = (const char *)ev->data.scalar.value;
    struct sx_conf_node *v;

    if (strlen(s) != ev->data.scalar.length)
        return fail_at(ps, ev->start_mark, err, "a value contains a NUL character");
    s = sx_arena_strdup(ps->a, s, ev->data.scalar.length);
    if (s == NULL)
        return sx_err_set(err, SX_ENOMEM, "out of memory while reading %s", ps->name);
    if (awaits_key(ps)) {
        struct frame *f = &ps->stack[ps->depth - 1];

        if (sx_conf_node_get(f->node, s, strlen(s)) != NULL)
            return fail_at(ps, ev->start_mark, err, "duplicate key in mapping");
        f->key = s;
        return SX_OK;
    }
    if ((v = node_at(ps, SX_CONF_STR, ev->start_mark)) == NULL)
        return sx_err_set(err, SX_ENOMEM, "%s is too large", ps->name);
    scalar_type(v, s,
                ev->data.scalar.style == YAML_PLAIN_SCALAR_STYLE && ev->data.scalar.tag == NULL);
    if (anchor_keep(ps, ev->data.scalar.anchor, v) != SX_OK)
        return fail_at(ps, ev->start_mark, err, "too many anchors");
    return place(ps, v);
}

static int event_open(struct parse *ps, const yaml_event_t *ev, uint32_t kind, struct sx_err *err)
{
    struct sx_conf_node *v;
    const yaml_char_t *anchor =
        kind == SX_CONF_MAP ? ev->data.mapping_start.anchor : ev->data.sequence_start.anchor;

    if (ps->depth == MAX_DEPTH)
        return fail_at(ps, ev->start_mark, err, "the document is nested too deeply");
    if (awaits_key(ps))
        return fail_at(ps, ev->start_mark, err, "a key must be a scalar");
    if ((v = node_at(ps, kind, ev->start_mark)) == NULL)
        return sx_err_set(err, SX_ENOMEM, "%s is too large", ps->name);
    if (anchor_keep(ps, anchor, v) != SX_OK)
        return fail_at(ps, ev->start_mark, err, "too many anchors");
    (void)place(ps, v);
    ps->stack[ps->depth].node = v;
    ps->stack[ps->depth].key = NULL;
    ps->depth++;
    return SX_OK;
}

static int is_open(const struct parse *ps, const struct sx_conf_node *v)
{
    uint32_t i;

    for (i = 0; i < ps->depth; i++)
        if (ps->stack[i].node == v)
            return 1;
    return 0;
}

static int event_alias(struct parse *ps, const yaml_event_t *ev, struct sx_err *err)
{
    const char *name = (const char *)ev->data.alias.anchor;
    struct sx_conf_node *v;
    uint32_t i = ps->n_anchors;

    while (i > 0 && strcmp(ps->anchors[i - 1].name, name) != 0)
        i--;
    if (i == 0 || is_open(ps, ps->anchors[i - 1].node))
        return fail_at(ps, ev->start_mark, err, "found undefined alias");
    if (awaits_key(ps))
        return fail_at(ps, ev->start_mark, err, "a key must be a scalar");
    if ((v = node_copy(ps, ps->anchors[i - 1].node)) == NULL)
        return sx_err_set(err, SX_ENOMEM, "%s is too large", ps->name);
    return place(ps, v);
}

static int event_take(struct parse *ps, const yaml_event_t *ev, struct sx_err *err)
{
    switch (ev->type) {
    case YAML_SCALAR_EVENT:
        return event_scalar(ps, ev, err);
    case YAML_MAPPING_START_EVENT:
        return event_open(ps, ev, SX_CONF_MAP, err);
    case YAML_SEQUENCE_START_EVENT:
        return event_open(ps, ev, SX_CONF_LIST, err);
    case YAML_ALIAS_EVENT:
        return event_alias(ps, ev, err);
    case YAML_MAPPING_END_EVENT:
    case YAML_SEQUENCE_END_EVENT:
        ps->depth--;
        return SX_OK;
    default:
        return SX_OK;
    }
}

int sx_conf_tree_parse(struct sx_arena *a,
                       const char *name,
                       const char *text,
                       uint64_t n,
                       struct sx_conf_node **out,
                       struct sx_err *err)
{
    struct parse parse = {.a = a, .name = name}, *ps = &parse;
    yaml_parser_t yp;
    yaml_event_t ev;
    int rc = SX_OK, is_end = 0;

    *out = NULL;
    if (!yaml_parser_initialize(&yp))
        return sx_err_set(err, SX_ENOMEM, "out of memory while reading %s", name);
    yaml_parser_set_input_string(&yp, (const unsigned char *)text, n);
    while (rc == SX_OK && !is_end) {
        if (!yaml_parser_parse(&yp, &ev)) {
            rc = fail_yaml(ps, &yp, err);
            break;
        }
        /* Only the first document counts. */
        is_end = ev.type == YAML_STREAM_END_EVENT || ev.type == YAML_DOCUMENT_END_EVENT;
        rc = event_take(ps, &ev, err);
        yaml_event_delete(&ev);
    }
    yaml_parser_delete(&yp);
    if (rc == SX_OK)
        *out = ps->root;
    return rc;
}

int sx_conf_tree_value(struct sx_arena *a,
                       const char *text,
                       struct sx_conf_node **out,
                       struct sx_err *err)
{
    struct sx_conf_node *v;
    char *s;

    if (*text != '\0' && strchr("[{\"'&*!|>#%@`", *text) != NULL) {
        int rc = sx_conf_tree_parse(a, "defaults", text, strlen(text), out, err);

        if (rc == SX_OK && *out != NULL) {
            (*out)->source = SX_CONF_SRC_DEFAULT;
            (*out)->origin = NULL;
        }
        return rc;
    }
    v = *out = sx_conf_node_new(a, SX_CONF_NULL);
    s = sx_arena_strdup(a, text, strlen(text));
    if (v == NULL || s == NULL)
        return sx_err_set(err, SX_ENOMEM, "out of memory");
    scalar_type(v, s, 1);
    return SX_OK;
}

int sx_conf_tree_read(struct sx_arena *a,
                      const char *path,
                      struct sx_conf_node **out,
                      struct sx_err *err)
{
    struct stat st;
    char *text = NULL;
    ssize_t got;
    uint64_t n = 0;
    int fd = open(path, O_RDONLY | O_CLOEXEC), rc = SX_EIO;

    *out = NULL;
    if (fd < 0) {
        if (errno == ENOENT || errno == ENOTDIR)
            return SX_ENOTFOUND;
        return sx_err_set(err, SX_EIO, "%s: %s", path, strerror(errno));
    }
    if (fstat(fd, &st) != 0 || S_ISDIR(st.st_mode)) {
        rc = SX_ENOTFOUND;
        goto out;
    }
    /* No trust in st_size: pipes and /dev/stdin have none. */
    for (uint64_t cap = 0;;) {
        if (n == cap) {
            char *p = sx_arena_resize(a, text, cap, cap != 0 ? 2 * cap : 4096);

            if (p == NULL || cap >= MAX_FILE) {
                rc = sx_err_set(err, SX_EINPUT, "%s is too large", path);
                goto out;
            }
            text = p;
            cap = cap != 0 ? 2 * cap : 4096;
        }
        got = read(fd, text + n, cap - n);
        if (got < 0 && errno == EINTR)
            continue;
        if (got < 0) {
            (void)sx_err_set(err, SX_EIO, "%s: %s", path, strerror(errno));
            goto out;
        }
        if (got == 0)
            break;
        n += (uint64_t)got;
    }
    rc = sx_conf_tree_parse(a, path, text, n, out, err);
out:
    (void)close(fd);
    return rc;
}
