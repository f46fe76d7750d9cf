/* The list of payload indexes: changes, durable form, opening. See schema.h. */
#include "schema.h"

#include <string.h>

#include "field_work.h"
#include "shard.h"
#include "text.h"
#include "wait.h"

#include "sextant/sx_ban.h"

static const struct eng_field_schema *find_const(const void *ctx, const struct sx_path *path)
{
    return eng_schema_find(ctx, path);
}

struct eng_field_schema *eng_schema_find(const struct eng_schema *s, const struct sx_path *path)
{
    for (uint32_t i = 0; i < s->n_fields; i++) {
        if (sx_path_equal(&s->fields[i]->path, path))
            return s->fields[i];
    }
    return NULL;
}

struct eng_schemas eng_schema_lookup(const struct eng *e, const struct eng_schema *s)
{
    return (struct eng_schemas){find_const, s, e->plain_text};
}

static struct eng_schema *schema_new(struct eng *e, uint32_t n)
{
    return e->mem->zalloc(e->mem,
                          sizeof(struct eng_schema) + n * sizeof(struct eng_field_schema *));
}

static void field_destroy(struct eng *e, struct eng_field_schema *f, int is_dropped)
{
    if (!f)
        return;
    if (f->field)
        eng_field_destroy(f->field, is_dropped);
    eng_field_schema_destroy(e->mem, f);
}

static struct eng_field_conf conf_of(struct eng_shard *s)
{
    return (struct eng_field_conf){s->eng, s->id, s->fields_dir};
}

/* --- changes -------------------------------------------------------------------------------------
 */

static int
parse_field(struct eng *e, struct sx_doc change, struct eng_field_schema **out, struct sx_err *err)
{
    struct sx_arena arena;
    struct sx_path path;
    struct sx_str text = sx_doc_str(sx_doc_get(change, "path"));
    sx_arena_init(&arena, e->mem, 0);
    int rc = text.p ? sx_path_parse(&arena, text, &path, err)
                    : sx_err_set(err, SX_ECORRUPT, "a change of the schema without path");
    if (rc == 0)
        rc = eng_field_schema_parse(e->mem, e->reg, &path, sx_doc_get(change, "schema"),
                                    sx_doc_get_bool(change, "bare", 0), out, err);
    sx_arena_fini(&arena);
    return rc;
}

/* The list with `gone` left out and `added` at the end; either may be NULL. */
static struct eng_schema *list_with(struct eng *e,
                                    const struct eng_schema *old,
                                    const struct eng_field_schema *gone,
                                    struct eng_field_schema *added)
{
    struct eng_schema *s = schema_new(e, old->n_fields + 1);
    if (!s)
        return NULL;
    for (uint32_t i = 0; i < old->n_fields; i++) {
        if (old->fields[i] != gone)
            s->fields[s->n_fields++] = old->fields[i];
    }
    if (added)
        s->fields[s->n_fields++] = added;
    s->config = old->config;
    s->next_column = old->next_column;
    s->next_id = old->next_id + (added != NULL);
    return s;
}

int eng_schema_stage_create(struct eng_shard *s,
                            uint64_t number,
                            struct sx_doc change,
                            struct sx_err *err)
{
    struct eng *e = s->eng;
    struct eng_field_schema *f = NULL;
    const struct eng_schema *old = s->table.schema;
    int rc = parse_field(e, change, &f, err);
    if (rc != 0)
        return rc;
    struct eng_field_schema *have = eng_schema_find(old, &f->path);
    if (have && eng_field_schema_same(have, f)) {
        eng_field_schema_destroy(e->mem, f);
        return 0;
    }
    struct eng_field_conf conf = conf_of(s);
    f->id = old->next_id;
    f->created = number;
    rc = eng_field_create(&conf, f, (uint32_t)s->table.chunks.next, &f->field, err);
    if (rc == 0)
        s->next_schema = list_with(e, old, have, f);
    if (rc == 0 && !s->next_schema)
        rc = sx_err_set(err, SX_ENOMEM, "out of memory");
    if (rc != 0) {
        field_destroy(e, f, 1);
        return rc;
    }
    s->schema_added = f;
    s->schema_gone = have;
    return 0;
}

int eng_schema_stage_drop(struct eng_shard *s,
                          uint64_t number,
                          struct sx_doc change,
                          struct sx_err *err)
{
    struct eng *e = s->eng;
    struct sx_arena arena;
    struct sx_path path;
    struct sx_str text = sx_doc_str(sx_doc_get(change, "path"));
    struct eng_field_schema *have = NULL;
    (void)number;
    sx_arena_init(&arena, e->mem, 0);
    int rc = text.p ? sx_path_parse(&arena, text, &path, err)
                    : sx_err_set(err, SX_ECORRUPT, "a change of the schema without path");
    if (rc == 0)
        have = eng_schema_find(s->table.schema, &path);
    sx_arena_fini(&arena);
    if (rc != 0 || !have)
        return rc;
    s->next_schema = list_with(e, s->table.schema, have, NULL);
    if (!s->next_schema)
        return sx_err_set(err, SX_ENOMEM, "out of memory");
    s->schema_gone = have;
    return 0;
}

/* --- columns -------------------------------------------------------------------------------------
 */

/* A column that was dropped: closed when its readers have left and a manifest without it is
 * durable.
 */
struct eng_gone_column {
    struct eng_gone_column *next;
    uint32_t slot, in_manifest; /* a checkpoint since: no manifest names it any more */
    _Atomic uint32_t is_unread;
};

static int stage_config(struct eng_shard *s, struct eng_config *config, struct sx_err *err)
{
    struct eng *e = s->eng;
    s->next_schema = list_with(e, s->table.schema, NULL, NULL);
    if (!s->next_schema) {
        eng_config_destroy(e, config);
        return sx_err_set(err, SX_ENOMEM, "out of memory");
    }
    s->next_schema->config = config;
    return 0;
}

int eng_schema_stage_column(struct eng_shard *s, struct sx_doc change, struct sx_err *err)
{
    struct eng *e = s->eng;
    struct eng_table *t = &s->table;
    struct eng_config *config = NULL;
    struct sx_store_mark none = {0, 0, 0};
    struct sx_blobs_mark no_blobs = {0, 0, 0};
    struct sx_str name = sx_doc_str(sx_doc_get(change, "name"));
    uint32_t slot = 0;
    while (slot < ENG_MAX_COLUMNS && t->columns[slot])
        slot++;
    if (!name.p)
        return sx_err_set(err, SX_ECORRUPT, "a change of the schema without name");
    if (slot == ENG_MAX_COLUMNS)
        return sx_err_set(err, SX_EINPUT, "at most %u named vectors are supported",
                          ENG_MAX_COLUMNS);
    int rc = eng_config_change(e, t->schema->config, name, change, t->schema->next_column, slot,
                               &config, err);
    if (rc != 0 || !config)
        return rc;
    /* On replay of what was changed by a PATCH after it was made. */
    const struct eng_column_conf *later = eng_config_column(s->config, name);
    if (later && later->id == t->schema->next_column &&
        (rc = eng_config_adopt(e, s->config, &config, err)) != 0) {
        eng_config_destroy(e, config);
        return rc;
    }
    if (!eng_config_holds(t->schema->config))
        config->shown_to = t->commit; /* the first vector that may hold points back */
    rc = eng_column_open(s, eng_config_column(config, name), &none, &none, &no_blobs,
                         &s->column_added, err);
    if (rc == 0)
        rc = eng_table_fill_column(t, s->column_added, err);
    if (rc != 0) {
        eng_column_close(s, s->column_added);
        s->column_added = NULL;
        eng_config_destroy(e, config);
        return rc;
    }
    rc = stage_config(s, config, err);
    if (rc == 0)
        s->next_schema->next_column++;
    return rc;
}

int eng_schema_stage_column_drop(struct eng_shard *s, struct sx_doc change, struct sx_err *err)
{
    struct eng *e = s->eng;
    struct eng_config *config = NULL;
    struct sx_doc none = {NULL, 0, 0};
    struct sx_str name = sx_doc_str(sx_doc_get(change, "name"));
    const struct eng_config *old = s->table.schema->config;
    if (!name.p)
        return sx_err_set(err, SX_ECORRUPT, "a change of the schema without name");
    int rc = eng_config_change(e, old, name, none, 0, 0, &config, err);
    if (rc != 0 || !config)
        return rc;
    s->column_gone = e->mem->zalloc(e->mem, sizeof(*s->column_gone));
    if (!s->column_gone) {
        eng_config_destroy(e, config);
        return sx_err_set(err, SX_ENOMEM, "out of memory");
    }
    s->column_gone->slot = eng_config_column(old, name)->slot;
    return stage_config(s, config, err);
}

struct old_config {
    struct eng *eng;
    struct eng_config *config;
};

static void old_config_free(void *arg)
{
    struct old_config *o = arg;
    struct eng *e = o->eng;
    eng_config_destroy(e, o->config);
    e->mem->release(e->mem, o);
}

int eng_schema_patch(struct eng_shard *s, struct sx_doc body, struct sx_err *err)
{
    struct eng *e = s->eng;
    struct eng_config *config = NULL;
    struct old_config *o = e->mem->alloc(e->mem, sizeof(*o));
    if (!o || eng_shard_publish_room(s) != 0) {
        e->mem->release(e->mem, o);
        return sx_err_set(err, SX_ENOMEM, "out of memory");
    }
    int refused = eng_config_patch(e, s->table.schema->config, body, s->table.commit, &config, err);
    int rc = config ? stage_config(s, config, err) : refused;
    if (rc != 0) {
        e->mem->release(e->mem, o);
        return rc;
    }
    /* The shard's own is what later opens begin with; readers may see it through their schema. */
    *o = (struct old_config){e, (struct eng_config *)(uintptr_t)s->config};
    if (s->config == s->table.schema->config) {
        e->mem->release(e->mem, o); /* goes with the schema */
        o = NULL;
    }
    s->config = config;
    eng_schema_commit(s);
    eng_shard_publish(s);
    if (o)
        e->epoch->retire(old_config_free, o);
    return refused;
}

uint32_t eng_schema_gone_columns(const struct eng_shard *s)
{
    uint32_t n = 0;
    for (const struct eng_gone_column *k = s->columns_gone; k; k = k->next)
        n++;
    return n;
}

struct names {
    struct eng_shard *s;
    struct sx_dir *dir;
};

static void remove_file(void *arg, const char *file, uint64_t bytes)
{
    struct names *k = arg;
    (void)bytes;
    (void)k->s->eng->io->unlink(k->dir, file, NULL); /* what stays is removed at the next start */
}

void eng_schema_sweep_columns(struct eng_shard *s, uint32_t gone)
{
    struct eng *e = s->eng;
    struct eng_gone_column **at = &s->columns_gone, *k;
    struct names names = {s, s->dir};
    for (uint32_t i = 0; (k = *at) != NULL; i++) {
        k->in_manifest |= i < gone; /* the list grows at its end */
        /* pairs with the release in gone_free() */
        if (!k->in_manifest || !atomic_load_explicit(&k->is_unread, memory_order_acquire)) {
            at = &k->next;
            continue;
        }
        struct eng_column *c = s->table.columns[k->slot];
        const struct sx_rows_ops *r = c->rows_p->ops, *l = s->table.rows_p->ops;
        const struct sx_blobs_ops *b = s->table.blobs_p->ops;
        r->files(c->rows_p->self, c->vec, remove_file, &names);
        l->files(s->table.rows_p->self, c->loc, remove_file, &names);
        if (c->blobs)
            b->files(s->table.blobs_p->self, c->blobs, remove_file, &names);
        eng_column_close(s, c);
        s->table.columns[k->slot] = NULL;
        *at = k->next;
        e->mem->release(e->mem, k);
        gone -= i < gone;
        i--;
    }
}

/* --- commit ------------------------------------------------------------------------------------
 */

void eng_schema_commit(struct eng_shard *s)
{
    struct eng_gone_column **end = &s->columns_gone;
    if (!s->next_schema)
        return;
    s->old_schema = s->table.schema;
    s->table.schema = s->next_schema;
    if (!eng_config_holds(s->table.schema->config))
        s->table.n_hidden = 0;
    s->next_schema = NULL;
    s->schema_added = NULL;
    if (s->column_added) {
        uint32_t slot = s->column_added->conf->slot;
        s->table.columns[slot] = s->column_added;
        if (slot >= s->table.n_columns)
            s->table.n_columns = slot + 1;
        s->column_added = NULL;
    }
    if (s->column_gone) {
        while (*end)
            end = &(*end)->next;
        *end = s->column_gone;
    }
}

void eng_schema_abort(struct eng_shard *s)
{
    struct eng *e = s->eng;
    if (s->next_schema && s->next_schema->config != s->table.schema->config)
        eng_config_destroy(e, (struct eng_config *)(uintptr_t)s->next_schema->config);
    e->mem->release(e->mem, s->next_schema);
    e->mem->release(e->mem, s->column_gone);
    eng_column_close(s, s->column_added); /* its files are begun anew by whoever gets the id */
    field_destroy(e, s->schema_added, 1);
    s->next_schema = NULL;
    s->column_gone = NULL;
    s->column_added = NULL;
    s->schema_added = s->schema_gone = NULL;
}

struct gone {
    struct eng_shard *shard;
    const struct eng_schema *list;
    const struct eng_config *config; /* no schema has it any more */
    struct eng_field_schema *field;
    struct eng_gone_column *column;
};

static void gone_free(void *arg)
{
    struct gone *g = arg;
    struct eng *e = g->shard->eng;
    field_destroy(e, g->field, 1);
    eng_config_destroy(e, (struct eng_config *)(uintptr_t)g->config);
    if (g->column) /* pairs with the acquire in eng_schema_sweep_columns() */
        atomic_store_explicit(&g->column->is_unread, 1, memory_order_release);
    e->mem->release(e->mem, (void *)(uintptr_t)g->list);
    atomic_fetch_sub_explicit(&g->shard->superseded, 1, memory_order_release);
    eng_shard_unref(g->shard);
    e->mem->release(e->mem, g);
}

void eng_schema_retire(struct eng_shard *s)
{
    struct eng *e = s->eng;
    if (!s->old_schema)
        return;
    if (!eng_config_holds(s->table.schema->config))
        eng_wait_shown(s);
    struct gone *g = e->mem->alloc(e->mem, sizeof(*g));
    struct eng_field_schema *field = s->schema_gone;
    if (field && eng_field_work_drop(s, field))
        field = NULL; /* a job runs on it: it goes when the job has ended */
    if (g) { /* without memory the list leaks until the shard closes: a few hundred bytes */
        const struct eng_config *config = s->old_schema->config;
        if (config == s->table.schema->config || config == s->config)
            config = NULL;
        *g = (struct gone){s, s->old_schema, config, field, s->column_gone};
        atomic_fetch_add_explicit(&s->superseded, 1, memory_order_relaxed);
        eng_shard_ref(s);
        e->epoch->retire(gone_free, g);
    }
    s->old_schema = NULL;
    s->schema_gone = NULL;
    s->column_gone = NULL;
}

void eng_schema_retire_field(struct eng_shard *s, struct eng_field_schema *field)
{
    struct eng *e = s->eng;
    struct gone *g = e->mem->alloc(e->mem, sizeof(*g));
    if (!g)
        return;
    *g = (struct gone){s, NULL, NULL, field, NULL};
    atomic_fetch_add_explicit(&s->superseded, 1, memory_order_relaxed);
    eng_shard_ref(s);
    e->epoch->retire(gone_free, g);
}

/* --- durable form --------------------------------------------------------------------------------
 */

int eng_schema_save(struct eng *e,
                    const struct eng_schema *s,
                    struct sx_doc *out,
                    struct sx_err *err)
{
    struct sx_docb doc, *b = &doc;
    sx_docb_init(b, e->mem, 0);
    sx_docb_obj(b);
    sx_docb_ckey(b, "next_column");
    sx_docb_u64(b, s->next_column);
    eng_config_save_columns(s->config, b);
    sx_docb_ckey(b, "next_id");
    sx_docb_u64(b, s->next_id);
    sx_docb_ckey(b, "fields");
    sx_docb_arr(b);
    for (uint32_t i = 0; i < s->n_fields; i++) {
        const struct eng_field_schema *f = s->fields[i];
        sx_docb_obj(b);
        sx_docb_ckey(b, "id");
        sx_docb_u64(b, f->id);
        sx_docb_ckey(b, "created");
        sx_docb_u64(b, f->created);
        sx_docb_ckey(b, "path");
        sx_docb_str(b, f->canonical.p, f->canonical.n);
        sx_docb_ckey(b, "bare");
        sx_docb_bool(b, !f->params.p);
        sx_docb_ckey(b, "schema");
        if (f->params.p) {
            sx_docb_doc(b, f->params);
        } else {
            sx_docb_obj(b);
            sx_docb_ckey(b, "type");
            sx_docb_cstr(b, eng_field_type_name(f->type));
            sx_docb_close(b);
        }
        sx_docb_close(b);
    }
    sx_docb_close(b);
    sx_docb_close(b);
    return eng_take_doc(e, b, out, err);
}

int eng_schema_load(struct eng_shard *s, struct sx_doc saved, struct sx_err *err)
{
    struct eng *e = s->eng;
    struct eng_schema *list = schema_new(e, sx_doc_count(sx_doc_get(saved, "fields")));
    struct eng_config *config = NULL;
    if (!list)
        return sx_err_set(err, SX_ENOMEM, "out of memory");
    s->table.schema = list;
    list->config = s->config;
    list->next_column = s->config->n_columns;
    int rc = eng_config_restore(e, s->config, saved, &config, err);
    if (rc != 0)
        return rc;
    list->config = config;
    list->next_column = (uint32_t)sx_doc_get_i64(saved, "next_column", 0);
    return 0;
}

int eng_schema_open(struct eng_shard *s, struct sx_doc saved, struct sx_err *err)
{
    struct eng *e = s->eng;
    struct sx_doc fields = sx_doc_get(saved, "fields");
    uint32_t n = sx_doc_count(fields);
    struct eng_schema *list = (struct eng_schema *)(uintptr_t)s->table.schema;
    int rc = e->io->dir_open(s->dir, "fields", SX_IO_CREATE, &s->fields_dir, err);
    if (rc != 0)
        return rc;
    list->next_id = (uint32_t)sx_doc_get_i64(saved, "next_id", 0);
    struct eng_field_conf conf = conf_of(s);
    /* What a view would see: there is none yet. */
    struct eng_view *v = n ? eng_view_alloc(e, eng_table_view_chunks(&s->table)) : NULL;
    if (n && !v)
        return sx_err_set(err, SX_ENOMEM, "out of memory");
    if (v)
        eng_view_fill(v, &s->table);
    for (uint32_t i = 0; rc == 0 && i < n; i++) {
        struct sx_doc d = sx_doc_elem(fields, i);
        struct eng_field_schema *f = NULL;
        rc = parse_field(e, d, &f, err);
        if (rc != 0)
            break;
        f->id = (uint32_t)sx_doc_get_i64(d, "id", 0);
        f->created = (uint64_t)sx_doc_get_i64(d, "created", 0);
        rc = eng_field_open(&conf, f, (struct eng_fills){v->fill, v->n_chunks, 0},
                            (uint32_t)s->table.chunks.next, &f->field, err);
        list->fields[list->n_fields++] = f;
    }
    if (v)
        eng_view_destroy(e, v);
    return rc;
}

void eng_schema_close(struct eng_shard *s)
{
    struct eng *e = s->eng;
    struct eng_schema *list = (struct eng_schema *)(uintptr_t)s->table.schema;
    for (uint32_t i = 0; list && i < list->n_fields; i++)
        field_destroy(e, list->fields[i], 0);
    if (list && list->config != s->config)
        eng_config_destroy(e, (struct eng_config *)(uintptr_t)list->config);
    e->mem->release(e->mem, list);
    for (struct eng_gone_column *k = s->columns_gone, *next; k; k = next) {
        next = k->next;
        e->mem->release(e->mem, k);
    }
    s->columns_gone = NULL;
    s->table.schema = NULL;
    if (s->fields_dir)
        e->io->dir_close(s->fields_dir);
    s->fields_dir = NULL;
}
