/* A module's key table and the tree -> the module's conf struct.
 *
 * A path with a dot names a key of the server's tree, one without a key of plugins.<module>. The
 * struct and everything it points to live in an arena of their own, not in the generation: after a
 * reload a module whose values did not change keeps its struct while the old tree goes away.
 *
 * The module's own section is checked strictly (unknown keys and values out of range are errors
 * with file and line, because nobody else can have meant them); the server's tree as the reference
 * checks it: unknown keys are ignored, ranges warn. */
#include <math.h>
#include <stdio.h>
#include <string.h>

#include "conf.h"

const struct sx_key *sx_conf_bind_key(const struct sx_plugin *p, uint32_t i)
{
    return (const struct sx_key *)(const void *)((const char *)p->keys + (uint64_t)i * p->key_size);
}

static uint32_t key_size_of(uint32_t type)
{
    switch (type) {
    case SX_KEY_BOOL:
        return sizeof(uint32_t);
    case SX_KEY_TREE:
        return sizeof(struct sx_doc);
    default:
        return 8;
    }
}

static int is_own(const struct sx_key *k)
{
    return strchr(k->path, '.') == NULL;
}

static const char *full_path(const struct sx_plugin *p, const struct sx_key *k, char out[160])
{
    if (!is_own(k))
        return k->path;
    (void)snprintf(out, 160, "plugins.%s.%s", p->name, k->path);
    return out;
}

/* " (config/local.yaml:3)", or nothing for values of other sources. */
static const char *where(const struct sx_conf_node *v, char out[160])
{
    if (v->line != 0)
        (void)snprintf(out, 160, " (%.100s:%u)", v->origin, v->line);
    else if (v->origin != NULL)
        (void)snprintf(out, 160, " (%.100s)", v->origin);
    else
        out[0] = '\0';
    return out;
}

/* --- values ----------------------------------------------------------------------------------- */

static void set_unset(const struct sx_key *k, char *field)
{
    if (k->type == SX_KEY_U64 || k->type == SX_KEY_I64 || k->type == SX_KEY_F64)
        memset(field, 0xff, 8);
    else if (k->type == SX_KEY_BOOL)
        memset(field, 0xff, 4);
    else
        memset(field, 0, key_size_of(k->type));
}

static int range_bad(struct sx_conf *c,
                     const struct sx_key *k,
                     const char *path,
                     const struct sx_conf_node *v,
                     double f,
                     struct sx_err *err)
{
    char lo[40], hi[40], num[40], at[160], text[200];

    if (k->min > k->max || (f >= k->min && f <= k->max))
        return SX_OK;
    if (k->type == SX_KEY_F64) {
        sx_conf_f64_text(f, num);
        sx_conf_f64_text(k->min, lo);
        sx_conf_f64_text(k->max, hi);
    } else {
        (void)snprintf(num, sizeof(num), "%.0f", f);
        (void)snprintf(lo, sizeof(lo), "%.0f", k->min);
        (void)snprintf(hi, sizeof(hi), "%.0f", k->max);
    }
    if (isinf(k->max))
        (void)snprintf(text, sizeof(text), "value %s invalid, must be %s or larger", num, lo);
    else
        (void)snprintf(text, sizeof(text), "value %s invalid, must be from %s to %s", num, lo, hi);
    if (is_own(k))
        return sx_err_set(err, SX_EINPUT, "%s: %s%s", path, text, where(v, at));
    if (sx_conf_key_find(path) == NULL) /* else the table's own check has spoken */
        sx_conf_note(c, SX_LOG_WARN, "- %s: %s", path, text);
    return SX_OK;
}

static int store_list(struct sx_arena *a, const struct sx_conf_node *v, char *field)
{
    const struct sx_conf_node *item;
    const char **list;
    uint64_t n = 0;

    for (item = v->first; item != NULL; item = item->next)
        n++;
    list = sx_arena_zalloc(a, (n + 1) * sizeof(*list));
    if (list == NULL)
        return SX_ENOMEM;
    for (item = v->first, n = 0; item != NULL; item = item->next, n++)
        if ((list[n] = sx_arena_strdup(a, item->v.s, strlen(item->v.s))) == NULL)
            return SX_ENOMEM;
    memcpy(field, &list, sizeof(list));
    return SX_OK;
}

static int store_tree(struct sx_arena *a, const struct sx_conf_node *v, char *field)
{
    struct sx_docb *b = sx_arena_alloc(a, sizeof(*b));
    struct sx_doc doc;

    if (b == NULL)
        return SX_ENOMEM;
    sx_docb_init(b, a->mem, 0);
    sx_conf_node_doc(v, b);
    doc = sx_docb_end_arena(b, a);
    sx_docb_fini(b);
    if (doc.p == NULL)
        return SX_ENOMEM;
    memcpy(field, &doc, sizeof(doc));
    return SX_OK;
}

/* The node is a copy: the tree itself stays as the sources wrote it. */
static int store(struct sx_conf *c,
                 const struct sx_key *k,
                 const char *path,
                 const struct sx_conf_node *node,
                 struct sx_arena *a,
                 char *field,
                 struct sx_err *err)
{
    struct sx_conf_node v = *node;
    char *s;
    int rc;

    switch (k->type) {
    case SX_KEY_STR:
        if ((rc = sx_conf_as_str(a, &v, path, err)) != SX_OK)
            return rc;
        s = sx_arena_strdup(a, v.v.s, strlen(v.v.s));
        memcpy(field, &s, sizeof(s));
        return s != NULL ? SX_OK : SX_ENOMEM;
    case SX_KEY_U64:
        if ((rc = sx_conf_as_u64(&v, path, UINT64_MAX, err)) == SX_OK)
            rc = range_bad(c, k, path, node, (double)v.v.u, err);
        memcpy(field, &v.v.u, 8);
        return rc;
    case SX_KEY_I64:
        if ((rc = sx_conf_as_i64(&v, path, err)) == SX_OK)
            rc = range_bad(c, k, path, node, (double)v.v.i, err);
        memcpy(field, &v.v.i, 8);
        return rc;
    case SX_KEY_F64:
        if ((rc = sx_conf_as_f64(&v, path, err)) == SX_OK)
            rc = range_bad(c, k, path, node, v.v.f, err);
        memcpy(field, &v.v.f, 8);
        return rc;
    case SX_KEY_BOOL:
        rc = sx_conf_as_bool(&v, path, err);
        memcpy(field, &v.v.b, 4);
        return rc;
    case SX_KEY_LIST:
        rc = sx_conf_as_strs(&c->arena, &v, path, err);
        return rc == SX_OK ? store_list(a, &v, field) : rc;
    case SX_KEY_TREE:
        return store_tree(a, &v, field);
    default:
        return sx_err_set(err, SX_EABI, "key '%s' has the unknown type %u", path, k->type);
    }
}

static int bind_one(struct sx_conf *c,
                    const struct sx_plugin *p,
                    const struct sx_key *k,
                    struct sx_arena *a,
                    char *conf,
                    struct sx_err *err)
{
    char buf[160];
    const char *path = full_path(p, k, buf);
    struct sx_conf_node *v = sx_conf_node_at(c->root, path);

    if ((uint64_t)k->offset + key_size_of(k->type) > p->conf_size)
        return sx_err_set(err, SX_EABI, "key '%s' lies outside the conf struct", path);
    if (v != NULL && v->kind == SX_CONF_NULL) {
        if ((k->flags & SX_KEY_OPTIONAL) != 0 || k->type == SX_KEY_TREE) {
            set_unset(k, conf + k->offset);
            return SX_OK;
        }
        if (is_own(k))
            return sx_err_set(err, SX_EINPUT, "%s may not be null%s", path, where(v, buf));
        v = NULL;
    }
    if (v == NULL && k->def != NULL) {
        int rc = sx_conf_tree_value(&c->arena, k->def, &v, err);

        if (rc != SX_OK)
            return rc;
        if (v != NULL && v->kind == SX_CONF_NULL)
            v = NULL;
    }
    if (v == NULL) {
        if ((k->flags & SX_KEY_OPTIONAL) != 0 || k->type == SX_KEY_STR || k->type == SX_KEY_TREE ||
            k->type == SX_KEY_LIST)
            set_unset(k, conf + k->offset);
        return SX_OK; /* a number without default is 0 */
    }
    return store(c, k, path, v, a, conf + k->offset, err);
}

static int check_unknown(const struct sx_conf *c, const struct sx_plugin *p, struct sx_err *err)
{
    char buf[160];
    struct sx_conf_node *sect, *v;
    uint32_t i;

    (void)snprintf(buf, sizeof(buf), "plugins.%.100s", p->name);
    sect = sx_conf_node_at(c->root, buf);
    if (sect == NULL || sect->kind == SX_CONF_NULL)
        return SX_OK;
    if (sect->kind != SX_CONF_MAP)
        return sx_err_set(err, SX_EINPUT, "plugins.%.100s must be a map%s", p->name,
                          where(sect, buf));
    for (v = sect->first; v != NULL; v = v->next) {
        for (i = 0; i < p->n_keys; i++)
            if (strcmp(sx_conf_bind_key(p, i)->path, v->key) == 0)
                break;
        if (i == p->n_keys)
            return sx_err_set(err, SX_EINPUT, "unknown key plugins.%s.%.60s%s", p->name, v->key,
                              where(v, buf));
    }
    return SX_OK;
}

int sx_conf_bind(struct sx_conf *c,
                 const struct sx_plugin *p,
                 struct sx_arena *a,
                 void **out,
                 struct sx_err *err)
{
    char *conf;
    uint32_t i;
    int rc;

    *out = NULL;
    rc = check_unknown(c, p, err);
    if (rc != SX_OK || p->conf_size == 0)
        return rc;
    conf = sx_arena_zalloc(a, p->conf_size);
    if (conf == NULL)
        rc = SX_ENOMEM;
    for (i = 0; rc == SX_OK && i < p->n_keys; i++)
        rc = bind_one(c, p, sx_conf_bind_key(p, i), a, conf, err);
    if (rc == SX_OK)
        *out = conf;
    else if (rc == SX_ENOMEM && (err == NULL || err->code != SX_ENOMEM))
        (void)sx_err_set(err, rc, "out of memory");
    return rc;
}

void sx_conf_bind_orphans(struct sx_conf *c, const struct sx_plugin *const *plugins, uint32_t n)
{
    const struct sx_conf_node *sect = sx_conf_node_at(c->root, "plugins"), *v;
    char buf[160];
    uint32_t i;

    for (v = sect != NULL && sect->kind == SX_CONF_MAP ? sect->first : NULL; v != NULL;
         v = v->next) {
        for (i = 0; i < n; i++)
            if (strcmp(plugins[i]->name, v->key) == 0)
                break;
        if (i == n)
            sx_conf_note(c, SX_LOG_WARN, "plugins.%s: no module of this name is loaded%s", v->key,
                         where(v, buf));
    }
}

/* --- comparing and keeping -------------------------------------------------------------------- */

static int str_same(const char *a, const char *b)
{
    return a == b || (a != NULL && b != NULL && strcmp(a, b) == 0);
}

int sx_conf_bind_same(const struct sx_key *k, const void *conf_a, const void *conf_b)
{
    const char *fa = (const char *)conf_a + k->offset, *fb = (const char *)conf_b + k->offset;
    const char *sa, *sb;
    const char *const *la, *const *lb;
    struct sx_doc da, db;

    switch (k->type) {
    case SX_KEY_STR:
        memcpy(&sa, fa, sizeof(sa));
        memcpy(&sb, fb, sizeof(sb));
        return str_same(sa, sb);
    case SX_KEY_LIST:
        memcpy(&la, fa, sizeof(la));
        memcpy(&lb, fb, sizeof(lb));
        if (la == NULL || lb == NULL)
            return la == lb;
        for (; *la != NULL && *lb != NULL; la++, lb++)
            if (strcmp(*la, *lb) != 0)
                return 0;
        return *la == *lb;
    case SX_KEY_TREE:
        memcpy(&da, fa, sizeof(da));
        memcpy(&db, fb, sizeof(db));
        if (da.p == NULL || db.p == NULL)
            return da.p == db.p;
        return da.n == db.n && memcmp(da.p, db.p, da.n) == 0;
    default:
        return memcmp(fa, fb, key_size_of(k->type)) == 0;
    }
}

int sx_conf_bind_keep(const struct sx_key *k, void *to, const void *from, struct sx_arena *a)
{
    char *dst = (char *)to + k->offset;
    const char *src = (const char *)from + k->offset;
    const char *s;
    const char *const *list;
    const char **copy;
    struct sx_doc doc;
    void *bytes;
    uint64_t n;

    switch (k->type) {
    case SX_KEY_STR:
        memcpy(&s, src, sizeof(s));
        if (s != NULL && (s = sx_arena_strdup(a, s, strlen(s))) == NULL)
            return SX_ENOMEM;
        memcpy(dst, &s, sizeof(s));
        return SX_OK;
    case SX_KEY_LIST:
        memcpy(&list, src, sizeof(list));
        copy = NULL;
        if (list != NULL) {
            for (n = 0; list[n] != NULL; n++)
                ;
            if ((copy = sx_arena_zalloc(a, (n + 1) * sizeof(*copy))) == NULL)
                return SX_ENOMEM;
            for (n = 0; list[n] != NULL; n++)
                if ((copy[n] = sx_arena_strdup(a, list[n], strlen(list[n]))) == NULL)
                    return SX_ENOMEM;
        }
        memcpy(dst, &copy, sizeof(copy));
        return SX_OK;
    case SX_KEY_TREE:
        memcpy(&doc, src, sizeof(doc));
        if (doc.p != NULL) {
            if ((bytes = sx_arena_alloc(a, doc.n)) == NULL)
                return SX_ENOMEM;
            memcpy(bytes, doc.p, doc.n);
            doc.p = bytes;
        }
        memcpy(dst, &doc, sizeof(doc));
        return SX_OK;
    default:
        memcpy(dst, src, key_size_of(k->type));
        return SX_OK;
    }
}
