/* Life of a payload index: its parts as a list, and the rows of each operation.
 *
 * The list is immutable and replaced as a whole. One of its parts, the tail, takes new rows; it is
 * the last one until chunks are used again. Stage writes into the tail beyond what any reader is
 * told of, and makes further open parts where rows go on in another chunk or a part has become too
 * large; commit shows those in a new list, abort forgets rows and parts. A part that a new list
 * leaves out is retired with the list before: readers hold both by their epoch.
 *
 * An open part that is not the tail has ended: its rows do not change any more, and a job may seal
 * it (field_job.c). */
#include <string.h>

#include "field_priv.h"

#include "sextant/sx_ban.h"

const struct eng_part_ops *eng_part_ops_of(uint32_t type)
{
    static const struct eng_part_ops *const ops[] = {
        [ENG_FIELD_KEYWORD] = &eng_part_keyword, [ENG_FIELD_INTEGER] = &eng_part_integer,
        [ENG_FIELD_FLOAT] = &eng_part_float,     [ENG_FIELD_BOOL] = &eng_part_bool,
        [ENG_FIELD_GEO] = &eng_part_geo,         [ENG_FIELD_DATETIME] = &eng_part_datetime,
        [ENG_FIELD_UUID] = &eng_part_uuid,       [ENG_FIELD_TEXT] = &eng_part_text,
    };

    return type < SX_COUNT(ops) ? ops[type] : NULL;
}

static uint32_t chunk_end(uint32_t row)
{
    uint64_t end = ((uint64_t)(row >> SX_CHUNK_SHIFT) + 1) << SX_CHUNK_SHIFT;

    return end > UINT32_MAX ? UINT32_MAX : (uint32_t)end; /* the last number is no row */
}

/* --- lists ------------------------------------------------------------------------------- */

struct field_list *eng_field_list(const struct eng_field *f)
{
    /* pairs with the release in eng_field_publish() */
    return atomic_load_explicit(&f->list, memory_order_acquire);
}

struct field_list *eng_field_list_new(const struct eng_field *f, uint32_t cap)
{
    struct field_list *l =
        f->eng->mem->alloc(f->eng->mem, sizeof(*l) + (uint64_t)cap * sizeof(l->at[0]));

    if (l == NULL)
        return NULL;
    const struct field_list *now = eng_field_list(f);
    *l = (struct field_list){f->eng->mem, now != NULL ? now->tail : NULL, 0, cap};
    return l;
}

static void list_destroy(void *list)
{
    struct field_list *l = list;

    l->mem->release(l->mem, l);
}

void eng_field_publish(struct eng_field *f, struct field_list *l)
{
    struct field_list *old = eng_field_list(f);
    uint32_t j = 0;

    /* pairs with the acquire in eng_field_list(): parts are complete before they are shown */
    atomic_store_explicit(&f->list, l, memory_order_release);
    /* Both lists are in order of rows, and the parts they share in the same order. */
    for (uint32_t i = 0; i < old->n; i++) {
        while (j < l->n && l->at[j].lo < old->at[i].lo)
            j++;
        if (j == l->n || l->at[j].part != old->at[i].part)
            f->eng->epoch->retire(eng_field_part_destroy, old->at[i].part);
    }
    f->eng->epoch->retire(list_destroy, old);
    eng_field_count(f);
}

static uint64_t open_ram(const struct field_part *p)
{
    return p->ops->open_bytes(p->open) + p->presence.flags.cap;
}

void eng_field_count(struct eng_field *f)
{
    const struct field_list *l = eng_field_list(f);
    uint64_t disk = 0, ram = sizeof(*f) + sizeof(*l) + (uint64_t)l->cap * sizeof(l->at[0]);

    for (uint32_t i = 0; i < l->n; i++) {
        const struct field_part *p = l->at[i].part;

        ram += sizeof(*p) + (p->block != NULL ? p->bytes : 0);
        if (p->open != NULL && p != l->tail)
            ram += open_ram(p);
        disk += p->map != NULL ? p->bytes : 0;
    }
    atomic_store_explicit(&f->disk, disk, memory_order_relaxed);
    atomic_store_explicit(&f->ram, ram, memory_order_relaxed);
    atomic_store_explicit(&f->open_ram, l->tail != NULL ? open_ram(l->tail) : 0,
                          memory_order_relaxed);
}

/* --- parts ------------------------------------------------------------------------------- */

struct field_part *eng_field_part_open(const struct eng_field *f, uint32_t lo)
{
    const struct eng *e = f->eng;
    struct field_part *p = e->mem->zalloc(e->mem, sizeof(*p));

    if (p == NULL)
        return NULL;
    p->eng = e;
    p->ops = f->ops;
    p->lo = lo;
    p->hi = chunk_end(lo);
    p->open = f->ops->open_create(&f->conf, f->schema);
    if (p->open == NULL) {
        e->mem->release(e->mem, p);
        return NULL;
    }
    eng_presence_init(&p->presence, lo & (SX_CHUNK_ROWS - 1));
    atomic_store_explicit(&p->state, PART_GOOD, memory_order_relaxed);
    return p;
}

void eng_field_part_destroy(void *part)
{
    struct field_part *p = part;
    const struct eng *e = p->eng;
    struct facet_map *codes = atomic_load_explicit(&p->codes, memory_order_relaxed);

    if (p->open != NULL) {
        p->ops->open_destroy(p->open);
        eng_presence_fini(&p->presence, e);
    }
    if (p->block != NULL)
        e->mem->release(e->mem, p->block);
    if (p->map != NULL)
        e->io->unmap(p->map, p->bytes);
    if (codes != NULL)
        eng_facet_map_destroy(codes);
    e->mem->release(e->mem, p);
}

int eng_field_part_add(const struct eng_field *f,
                       struct field_part *p,
                       uint32_t row,
                       struct sx_doc payload)
{
    uint32_t offset = row & (SX_CHUNK_ROWS - 1), flags = eng_presence_of(f->schema, payload);
    int rc = payload.p != NULL ? f->ops->open_add(p->open, offset, payload) : 0;

    if (rc < 0)
        return rc;
    return eng_presence_add(&p->presence, f->eng, offset, flags | (rc > 0 ? PRESENT_VALUE : 0));
}

void eng_field_part_commit(struct field_part *p)
{
    if (p->ops->open_commit != NULL)
        p->ops->open_commit(p->open);
    eng_presence_commit(&p->presence);
}

static void part_cut(struct field_part *p, uint32_t row)
{
    uint32_t offset = row - (p->lo & ~(SX_CHUNK_ROWS - 1));

    p->ops->open_cut(p->open, offset);
    eng_presence_cut(&p->presence, offset);
}

/* --- create, open, destroy --------------------------------------------------------------- */

static int no_memory(const struct eng_field *f, struct sx_err *err)
{
    return sx_err_set(err, SX_ENOMEM, "payload index of %.*s: out of memory",
                      (int)f->schema->canonical.n, f->schema->canonical.p);
}

static int make(const struct eng_field_conf *conf,
                const struct eng_field_schema *schema,
                struct eng_field **out,
                struct sx_err *err)
{
    const struct eng *e = conf->eng;
    const struct eng_part_ops *ops = eng_part_ops_of(schema->type);
    struct eng_field *f;

    if (ops == NULL)
        return sx_err_set(err, SX_EUNSUPPORTED, "payload indexes of type %s",
                          eng_field_type_name(schema->type));
    f = e->mem->zalloc(e->mem, sizeof(*f));
    if (f == NULL)
        return sx_err_set(err, SX_ENOMEM, "out of memory");
    f->eng = e;
    f->conf = *conf;
    f->schema = schema;
    f->ops = ops;
    *out = f;
    return SX_OK;
}

/* Where p belongs; there is room. */
static void list_insert(struct field_list *l, struct field_part *p)
{
    uint32_t i = l->n++;

    for (; i > 0 && l->at[i - 1].lo > p->lo; i--)
        l->at[i] = l->at[i - 1];
    /* The part before ends where this one begins, or with its chunk. */
    if (i > 0 && l->at[i - 1].hi > p->lo)
        l->at[i - 1].hi = p->lo;
    l->at[i] = (struct field_ref){p, p->lo, p->hi};
    l->tail = p;
}

/* Makes l the list, with an open part at `first` in it; a chunk's first row gets its part when it
 * comes, for then that chunk may be another one. */
static int begin(struct eng_field *f, struct field_list *l, uint32_t first, struct sx_err *err)
{
    struct field_part *p = NULL;

    atomic_store_explicit(&f->list, l, memory_order_relaxed);
    if (first % SX_CHUNK_ROWS != 0 && (p = eng_field_part_open(f, first)) == NULL)
        return no_memory(f, err);
    if (p != NULL)
        list_insert(l, p);
    f->end = first;
    eng_field_count(f);
    return SX_OK;
}

int eng_field_create(const struct eng_field_conf *conf,
                     const struct eng_field_schema *schema,
                     uint32_t first,
                     struct eng_field **out,
                     struct sx_err *err)
{
    struct eng_field *f;
    struct field_list *l;
    int rc = make(conf, schema, &f, err);

    if (rc != SX_OK)
        return rc;
    /* Of an index whose creation a power cut has taken back: its number is given again, its parts
     * must not be. */
    rc = eng_field_clear_files(f, err);
    l = rc == SX_OK ? eng_field_list_new(f, 1) : NULL;
    if (rc == SX_OK)
        rc = l != NULL ? begin(f, l, first, err) : no_memory(f, err);
    if (rc != SX_OK) {
        eng_field_destroy(f, 0);
        return rc;
    }
    *out = f;
    return SX_OK;
}

int eng_field_open(const struct eng_field_conf *conf,
                   const struct eng_field_schema *schema,
                   struct eng_fills rows,
                   uint32_t first,
                   struct eng_field **out,
                   struct sx_err *err)
{
    struct eng_field *f;
    struct field_list *l = NULL;
    int rc = make(conf, schema, &f, err);

    if (rc != SX_OK)
        return rc;
    rc = eng_field_scan(f, rows, &l, err);
    if (rc == SX_OK)
        rc = begin(f, l, first, err);
    if (rc != SX_OK) {
        eng_field_destroy(f, 0);
        return rc;
    }
    *out = f;
    return SX_OK;
}

static void staged_drop(struct eng_field *f)
{
    const struct sx_mem *mem = f->eng->mem;

    for (uint32_t i = 0; i < f->staged.n_parts; i++)
        eng_field_part_destroy(f->staged.parts[i]);
    f->staged.n_parts = 0;
    if (f->staged.list != NULL)
        mem->release(mem, f->staged.list);
    f->staged.list = NULL;
    f->staged.active = 0;
}

void eng_field_destroy(struct eng_field *f, int is_dropped)
{
    const struct sx_mem *mem = f->eng->mem;
    struct field_list *l = eng_field_list(f);

    staged_drop(f);
    for (uint32_t i = 0; l != NULL && i < l->n; i++)
        eng_field_part_destroy(l->at[i].part);
    if (l != NULL)
        list_destroy(l);
    if (is_dropped)
        (void)eng_field_remove_files(f, UINT32_MAX, NULL);
    while (f->trash != NULL) {
        struct field_trash *t = f->trash;

        f->trash = t->next;
        mem->release(mem, t);
    }
    if (f->staged.parts != NULL)
        mem->release(mem, f->staged.parts);
    eng_facet_dict_destroy(f);
    mem->release(mem, f);
}

/* --- the rows of one operation ----------------------------------------------------------- */

/* A further open part that begins at row lo, private until commit. */
static struct field_part *staged_part(struct eng_field *f, uint32_t lo)
{
    const struct sx_mem *mem = f->eng->mem;
    struct field_part *p;

    if (f->staged.n_parts == f->staged.cap_parts) {
        uint32_t cap = f->staged.cap_parts * 2 + 4;
        struct field_part **parts =
            mem->resize(mem, f->staged.parts, (uint64_t)cap * sizeof(*parts));

        if (parts == NULL)
            return NULL;
        f->staged.parts = parts;
        f->staged.cap_parts = cap;
    }
    p = eng_field_part_open(f, lo);
    if (p != NULL)
        f->staged.parts[f->staged.n_parts++] = p;
    return p;
}

/* The list with the staged parts; the last of them is its tail. */
static struct field_list *staged_list(const struct eng_field *f)
{
    const struct field_list *old = eng_field_list(f);
    struct field_list *l = eng_field_list_new(f, old->n + f->staged.n_parts);

    if (l == NULL)
        return NULL;
    memcpy(l->at, old->at, old->n * sizeof(l->at[0]));
    l->n = old->n;
    for (uint32_t i = 0; i < f->staged.n_parts; i++)
        list_insert(l, f->staged.parts[i]);
    return l;
}

int eng_field_stage(struct eng_field *f,
                    uint32_t base,
                    uint32_t n,
                    const struct sx_doc *payloads,
                    struct sx_err *err)
{
    uint32_t n_parts = f->staged.n_parts;
    struct field_part *p = n_parts != 0 ? f->staged.parts[n_parts - 1] : eng_field_list(f)->tail;
    int rc = SX_OK;

    f->staged.active = 1;
    f->staged.end = base + n;
    for (uint32_t i = 0; i < n && rc == SX_OK; i++) {
        uint32_t row = base + i;

        if (p == NULL || row < p->lo || row >= p->hi)
            p = staged_part(f, row & ~(SX_CHUNK_ROWS - 1));
        else if (p->presence.n != 0 && f->ops->open_is_full(p->open))
            p = staged_part(f, row);
        rc = p != NULL ? eng_field_part_add(f, p, row, payloads[i]) : SX_ENOMEM;
    }
    if (rc == SX_OK && f->staged.n_parts != n_parts) {
        f->eng->mem->release(f->eng->mem, f->staged.list);
        f->staged.list = staged_list(f);
        rc = f->staged.list != NULL ? SX_OK : SX_ENOMEM;
    }
    if (rc != SX_OK) {
        eng_field_abort(f);
        return no_memory(f, err);
    }
    return SX_OK;
}

void eng_field_commit(struct eng_field *f)
{
    const struct field_list *l = eng_field_list(f);
    struct field_list *next = f->staged.list;

    if (!f->staged.active)
        return;
    if (l->tail != NULL)
        eng_field_part_commit(l->tail);
    for (uint32_t i = 0; i < f->staged.n_parts; i++)
        eng_field_part_commit(f->staged.parts[i]);
    f->staged.list = NULL;
    f->staged.n_parts = 0;
    f->staged.active = 0;
    if (next != NULL)
        eng_field_publish(f, next);
    else if (l->tail != NULL)
        atomic_store_explicit(&f->open_ram, open_ram(l->tail), memory_order_relaxed);
    f->end = f->staged.end;
}

void eng_field_abort(struct eng_field *f)
{
    const struct field_list *l = eng_field_list(f);

    if (!f->staged.active)
        return;
    /* Not where the operation began: rows left out before it go too. */
    if (l->tail != NULL)
        part_cut(l->tail, f->end);
    staged_drop(f);
}

/* --- chunks that go ---------------------------------------------------------------------- */

static int is_in(uint32_t row, uint32_t chunk)
{
    return row >> SX_CHUNK_SHIFT == chunk;
}

/* Files in the way are removed now: their names will be those of other rows. */
static int empty_trash(struct eng_field *f, uint32_t chunk, struct sx_err *err)
{
    struct field_trash **at = &f->trash, *t;

    while ((t = *at) != NULL) {
        if (!is_in(t->lo, chunk)) {
            at = &t->next;
            continue;
        }
        int rc = eng_field_unlink(f, t->lo, err);
        if (rc != SX_OK)
            return rc;
        *at = t->next;
        f->eng->mem->release(f->eng->mem, t);
    }
    return f->lost ? eng_field_remove_files(f, chunk, err) : SX_OK;
}

int eng_field_forget(struct eng_field *f, uint32_t chunk, struct sx_err *err)
{
    const struct field_list *old = eng_field_list(f);
    uint32_t first = eng_field_first(old, chunk), end = first;
    struct field_list *l;
    int rc;

    if (f->busy && f->busy_lo >> SX_CHUNK_SHIFT <= chunk &&
        (f->busy_hi - 1) >> SX_CHUNK_SHIFT >= chunk)
        return sx_err_set(err, SX_EPRECOND, "a job is about these rows");
    rc = empty_trash(f, chunk, err);
    for (; rc == SX_OK && end < old->n && is_in(old->at[end].lo, chunk); end++) {
        if (old->at[end].part->map != NULL)
            rc = eng_field_unlink(f, old->at[end].lo, err);
    }
    if (rc != SX_OK || end == first)
        return rc;
    l = eng_field_list_new(f, old->n);
    if (l == NULL)
        return no_memory(f, err);
    memcpy(l->at, old->at, first * sizeof(l->at[0]));
    memcpy(l->at + first, old->at + end, (old->n - end) * sizeof(l->at[0]));
    l->n = old->n - (end - first);
    if (l->tail != NULL && is_in(l->tail->lo, chunk))
        l->tail = NULL;
    eng_field_publish(f, l);
    return SX_OK;
}

void eng_field_stats(const struct eng_field *f, uint64_t *disk, uint64_t *ram)
{
    *disk = atomic_load_explicit(&f->disk, memory_order_relaxed);
    *ram = atomic_load_explicit(&f->ram, memory_order_relaxed) +
           atomic_load_explicit(&f->open_ram, memory_order_relaxed);
}
