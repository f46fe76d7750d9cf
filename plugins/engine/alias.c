/* Aliases of collections; see alias.h. */
#include "alias.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "catalog_priv.h"
#include "small_file.h"

#include "sextant/sx_ban.h"

#define FILE_MAX (64u << 20)

/* --- the table -----------------------------------------------------------------------------------
 */

static int compare(struct sx_str a, struct sx_str b)
{
    uint32_t n = a.n < b.n ? a.n : b.n;
    int d = n ? memcmp(a.p, b.p, n) : 0;
    return d ? d : (a.n > b.n) - (a.n < b.n);
}

/* Where the name is, or would be. */
static uint32_t place(const struct eng_alias_table *t, struct sx_str name, int *found)
{
    uint32_t lo = 0, hi = t->n;
    *found = 0;
    while (lo < hi) {
        uint32_t mid = lo + (hi - lo) / 2;
        int d = compare(t->at[mid].name, name);
        if (d == 0) {
            *found = 1;
            return mid;
        }
        if (d < 0)
            lo = mid + 1;
        else
            hi = mid;
    }
    return lo;
}

struct sx_str eng_alias_target(const struct eng_aliases *a, struct sx_str name)
{
    int found = 0;
    uint32_t i = a->now.n ? place(&a->now, name, &found) : 0;
    return found ? a->now.at[i].collection : (struct sx_str){NULL, 0, 0};
}

int eng_alias_is_taken(const struct eng_aliases *a, struct sx_str name)
{
    int now, next;
    (void)place(&a->now, name, &now);
    (void)place(&a->next, name, &next);
    return now || next;
}

static void table_clear(const struct sx_mem *mem, struct eng_alias_table *t)
{
    for (uint32_t i = 0; i < t->n; i++)
        mem->release(mem, (void *)(uintptr_t)t->at[i].name.p);
    mem->release(mem, t->at);
    memset(t, 0, sizeof(*t));
}

static void table_remove(const struct sx_mem *mem, struct eng_alias_table *t, uint32_t i)
{
    mem->release(mem, (void *)(uintptr_t)t->at[i].name.p);
    memmove(&t->at[i], &t->at[i + 1], (t->n - i - 1) * sizeof(*t->at));
    t->n--;
}

/* Adds the alias, or points it to another collection. */
static int table_put(const struct sx_mem *mem,
                     struct eng_alias_table *t,
                     struct sx_str name,
                     struct sx_str collection)
{
    int found;
    uint32_t i = place(t, name, &found);
    if (!found && t->n == t->cap) {
        uint32_t cap = t->cap ? t->cap * 2 : 8;
        struct eng_alias *at = mem->resize(mem, t->at, (uint64_t)cap * sizeof(*at));
        if (!at)
            return SX_ENOMEM;
        t->at = at;
        t->cap = cap;
    }
    char *copy = mem->alloc(mem, (uint64_t)name.n + collection.n + 1);
    if (!copy)
        return SX_ENOMEM;
    if (name.n)
        memcpy(copy, name.p, name.n);
    if (collection.n)
        memcpy(copy + name.n, collection.p, collection.n);
    if (found) {
        mem->release(mem, (void *)(uintptr_t)t->at[i].name.p);
    } else {
        memmove(&t->at[i + 1], &t->at[i], (t->n - i) * sizeof(*t->at));
        t->n++;
    }
    t->at[i].name = (struct sx_str){copy, name.n, 0};
    t->at[i].collection = (struct sx_str){copy + name.n, collection.n, 0};
    return 0;
}

static int
table_copy(const struct sx_mem *mem, struct eng_alias_table *to, const struct eng_alias_table *from)
{
    for (uint32_t i = 0; i < from->n; i++) {
        if (table_put(mem, to, from->at[i].name, from->at[i].collection) != 0) {
            table_clear(mem, to);
            return SX_ENOMEM;
        }
    }
    return 0;
}

/* --- the file ------------------------------------------------------------------------------------
 */

static int write_sums(struct eng *e, struct eng_aliases *a, uint32_t next, struct sx_err *err)
{
    char text[32];
    int n = snprintf(text, sizeof(text), "%08x %08x\n", a->sum, next);
    return eng_small_file_replace(e, a->dir, "data.sum", text, (uint64_t)n, err);
}

static int write_table(struct eng *e,
                       struct eng_aliases *a,
                       const struct eng_alias_table *t,
                       struct sx_err *err)
{
    struct sx_buf text;
    sx_buf_init(&text, e->mem);
    sx_buf_add(&text, "{", 1);
    for (uint32_t i = 0; i < t->n; i++) {
        if (i)
            sx_buf_add(&text, ",", 1);
        sx_jsonw_str(&text, t->at[i].name.p, t->at[i].name.n);
        sx_buf_add(&text, ":", 1);
        sx_jsonw_str(&text, t->at[i].collection.p, t->at[i].collection.n);
    }
    sx_buf_add(&text, "}", 1);
    int rc = 0;
    if (text.failed)
        rc = sx_err_set(err, SX_ENOMEM, "out of memory");
    else if (text.n > FILE_MAX)
        rc = sx_err_set(err, SX_EBADREQ, "too many aliases");
    uint32_t sum = rc == 0 ? sx_crc32c(0, text.p, text.n) : 0;
    if (rc == 0)
        rc = write_sums(e, a, sum, err);
    if (rc == 0)
        rc = eng_small_file_replace(e, a->dir, "data.json", text.p, text.n, err);
    if (rc == 0)
        a->sum = sum;
    sx_buf_fini(&text);
    return rc;
}

static int is_expected(struct eng *e, struct eng_aliases *a, struct sx_arena *arena, uint32_t sum)
{
    struct sx_str s = {NULL, 0, 0};
    char hex[9];
    if (eng_small_file_read(e, a->dir, "data.sum", 64, arena, &s, NULL) != 0)
        return 1; /* none: brought by hand */
    snprintf(hex, sizeof(hex), "%08x", sum);
    return s.n == 18 && (!memcmp(s.p, hex, 8) || !memcmp(s.p + 9, hex, 8));
}

static int
parse(struct eng_catalog *c, struct sx_str text, struct sx_arena *arena, struct sx_err *err)
{
    struct eng *e = c->eng;
    struct sx_doc d = {NULL, 0, 0};
    int rc = eng_small_file_parse(e, "data.json", text, arena, &d, err);
    if (rc != 0)
        return rc;
    if (sx_doc_type(d) != SX_DOC_OBJ)
        return sx_err_set(err, SX_ECORRUPT, "data.json: malformed");
    for (uint32_t i = 0; i < sx_doc_count(d); i++) {
        struct sx_str name;
        struct sx_str collection = sx_doc_str(sx_doc_member(d, i, &name));
        if (!collection.p)
            return sx_err_set(err, SX_ECORRUPT, "data.json: malformed");
        if (!eng_catalog_lookup(c, collection)) {
            sx_log(e->host, SX_LOG_WARN, "catalog", "alias %.*s of a collection that is gone",
                   (int)(name.n > 200 ? 200 : name.n), name.p);
            c->aliases.has_stale = 1;
            continue;
        }
        if (table_put(e->mem, &c->aliases.now, name, collection) != 0)
            return sx_err_set(err, SX_ENOMEM, "out of memory");
    }
    return 0;
}

int eng_aliases_open(struct eng_catalog *c, struct sx_err *err)
{
    struct eng *e = c->eng;
    struct eng_aliases *a = &c->aliases;
    struct sx_arena arena;
    struct sx_str text = {NULL, 0, 0};
    struct sx_err cause = SX_ERR_INIT;
    a->cause.size = sizeof(a->cause);
    int rc = e->io->dir_open(c->root, "aliases", SX_IO_CREATE, &a->dir, err);
    if (rc == 0)
        rc = e->io->dir_sync(c->root, err);
    if (rc != 0)
        return rc;
    sx_arena_init(&arena, e->mem, 0);
    rc = eng_small_file_read(e, a->dir, "data.json", FILE_MAX, &arena, &text, &cause);
    if (rc == SX_ENOTFOUND)
        rc = 0; /* none yet, which the sums must allow */
    if (rc == 0) {
        a->sum = sx_crc32c(0, text.p, text.n);
        if (!is_expected(e, a, &arena, a->sum))
            rc = sx_err_set(&cause, SX_ECORRUPT, "data.json: checksum mismatch");
        else if (text.n)
            rc = parse(c, text, &arena, &cause);
    }
    sx_arena_fini(&arena);
    if (rc == SX_ENOMEM)
        return sx_err_set(err, rc, "out of memory");
    /* Or they would be there again once a collection takes the name. */
    if (rc == 0 && a->has_stale && write_table(e, a, &a->now, &cause) != 0)
        sx_log(e->host, SX_LOG_ERROR, "catalog", "aliases of gone collections stay: %s", cause.msg);
    if (rc != 0) {
        table_clear(e->mem, &a->now);
        sx_err_wrap(&cause, "aliases");
        a->cause = cause;
        a->cause.code = rc;
        sx_log(e->host, SX_LOG_ERROR, "catalog", "%s: there are no aliases", cause.msg);
    }
    return 0;
}

void eng_aliases_close(struct eng_catalog *c)
{
    struct eng_aliases *a = &c->aliases;
    table_clear(c->eng->mem, &a->now);
    if (a->dir)
        c->eng->io->dir_close(a->dir);
    pthread_mutex_destroy(&a->writer);
}

/* --- changes -------------------------------------------------------------------------------------
 */

static int is_gone(struct eng_catalog *c, struct sx_str name)
{
    struct eng_collection *col = eng_catalog_lookup(c, name);
    return !col || col->busy;
}

#define FAIL(code, fmt, name)                                                                      \
    sx_err_set(err, code, fmt, (int)((name).n > 180 ? 180 : (name).n), (name).p)

static int create_one(struct eng_catalog *c, struct sx_doc d, struct sx_err *err)
{
    struct sx_str collection = sx_doc_str(sx_doc_get(d, "collection_name"));
    struct sx_str name = sx_doc_str(sx_doc_get(d, "alias_name"));
    if (is_gone(c, collection))
        return FAIL(SX_ENOTFOUND, "Collection `%.*s` doesn't exist!", collection);
    if (eng_catalog_lookup(c, name))
        return FAIL(SX_EEXIST, "Collection `%.*s` already exists!", name);
    return table_put(c->eng->mem, &c->aliases.next, name, collection);
}

static int delete_one(struct eng_catalog *c, struct sx_doc d)
{
    int found;
    struct eng_alias_table *t = &c->aliases.next;
    uint32_t i = place(t, sx_doc_str(sx_doc_get(d, "alias_name")), &found);
    if (found)
        table_remove(c->eng->mem, t, i);
    return 0;
}

static int rename_one(struct eng_catalog *c, struct sx_doc d, struct sx_err *err)
{
    const struct sx_mem *mem = c->eng->mem;
    struct eng_alias_table *t = &c->aliases.next;
    struct sx_str old = sx_doc_str(sx_doc_get(d, "old_alias_name"));
    struct sx_str name = sx_doc_str(sx_doc_get(d, "new_alias_name"));
    int found;
    uint32_t i = place(t, old, &found);
    if (!found)
        return FAIL(SX_ENOTFOUND, "Alias %.*s does not exists!", old);
    if (compare(old, name) == 0)
        return 0;
    if (table_put(mem, t, name, t->at[i].collection) != 0)
        return SX_ENOMEM;
    table_remove(mem, t, place(t, old, &found));
    return 0;
}

/* With the lock held, on the copy. */
static int apply(struct eng_catalog *c, struct sx_doc action, struct sx_err *err)
{
    struct sx_doc d;
    int rc = 0;
    if ((d = sx_doc_get(action, "create_alias")).p)
        rc = create_one(c, d, err);
    else if ((d = sx_doc_get(action, "delete_alias")).p)
        rc = delete_one(c, d);
    else if ((d = sx_doc_get(action, "rename_alias")).p)
        rc = rename_one(c, d, err);
    return rc == SX_ENOMEM ? sx_err_set(err, rc, "out of memory") : rc;
}

static int has_changed(const struct eng_aliases *a)
{
    if (a->now.n != a->next.n)
        return 1;
    for (uint32_t i = 0; i < a->now.n; i++) {
        const struct eng_alias *x = &a->now.at[i], *y = &a->next.at[i];
        if (compare(x->name, y->name) != 0 || compare(x->collection, y->collection) != 0)
            return 1;
    }
    return 0;
}

/* Writes the copy and puts it in the table's place, or drops it. */
static int finish(struct eng_catalog *c, struct sx_err *err)
{
    struct eng_aliases *a = &c->aliases;
    const struct sx_mem *mem = c->eng->mem;
    int rc = 0;
    if (has_changed(a)) {
        /* From the first map on a lost file is told from none. */
        if (a->sum == 0)
            rc = write_table(c->eng, a, &a->now, err);
        if (rc == 0)
            rc = write_table(c->eng, a, &a->next, err);
    }
    pthread_mutex_lock(&c->lock);
    if (rc == 0) {
        struct eng_alias_table old = a->now;
        a->now = a->next;
        a->next = old;
    }
    struct eng_alias_table rest = a->next;
    memset(&a->next, 0, sizeof(a->next));
    pthread_mutex_unlock(&c->lock);
    table_clear(mem, &rest);
    return rc;
}

int eng_aliases_update(struct eng_catalog *c, struct sx_doc actions, struct sx_err *err)
{
    struct eng_aliases *a = &c->aliases;
    struct sx_err first = SX_ERR_INIT;
    if (a->cause.code) {
        *err = a->cause;
        return a->cause.code;
    }
    pthread_mutex_lock(&a->writer);
    pthread_mutex_lock(&c->lock);
    int rc = table_copy(c->eng->mem, &a->next, &a->now);
    if (rc != 0)
        sx_err_set(&first, rc, "out of memory");
    for (uint32_t i = 0; rc == 0 && i < sx_doc_count(actions); i++)
        rc = apply(c, sx_doc_elem(actions, i), &first);
    pthread_mutex_unlock(&c->lock);
    int written = finish(c, err);
    pthread_mutex_unlock(&a->writer);
    if (written == 0 && rc != 0)
        *err = first;
    return written != 0 ? written : rc;
}

void eng_aliases_forget(struct eng_catalog *c, struct sx_str collection)
{
    struct eng_aliases *a = &c->aliases;
    const struct sx_mem *mem = c->eng->mem;
    struct sx_err err = SX_ERR_INIT;
    pthread_mutex_lock(&a->writer);
    pthread_mutex_lock(&c->lock);
    int rc = table_copy(mem, &a->next, &a->now);
    for (uint32_t i = a->next.n; rc == 0 && i-- > 0;)
        if (compare(a->next.at[i].collection, collection) == 0)
            table_remove(mem, &a->next, i);
    pthread_mutex_unlock(&c->lock);
    if (rc == 0 && finish(c, &err) != 0)
        /* A start leaves out what has no collection, but not when the name is taken again. */
        sx_log(c->eng->host, SX_LOG_ERROR, "catalog", "aliases of a dropped collection stay: %s",
               err.msg);
    pthread_mutex_unlock(&a->writer);
}

void eng_aliases_list(struct eng_catalog *c, struct sx_str collection, struct sx_docb *b)
{
    sx_docb_obj(b);
    sx_docb_ckey(b, "aliases");
    sx_docb_arr(b);
    pthread_mutex_lock(&c->lock);
    for (uint32_t i = 0; i < c->aliases.now.n; i++) {
        const struct eng_alias *x = &c->aliases.now.at[i];
        if (collection.p && compare(x->collection, collection) != 0)
            continue;
        sx_docb_obj(b);
        sx_docb_ckey(b, "alias_name");
        sx_docb_str(b, x->name.p, x->name.n);
        sx_docb_ckey(b, "collection_name");
        sx_docb_str(b, x->collection.p, x->collection.n);
        sx_docb_close(b);
    }
    pthread_mutex_unlock(&c->lock);
    sx_docb_close(b);
    sx_docb_close(b);
}
