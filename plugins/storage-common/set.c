/* The files of one store: the table readers walk, operations, drop.
 *
 * Readers take the table with one acquire load inside their epoch and never lock. The writer adds
 * an entry behind the table's n and then raises n, or publishes a copy when the table is full or an
 * entry goes or comes in the middle (an entry readers have seen never changes under them); the old
 * copy is released when every epoch that could see it has ended. A file's memory goes the same way,
 * so a chunk that was dropped stays readable for whoever was reading it.
 *
 * An operation (struct store_op) lists the files one append touches, new ones included. They enter
 * the table at commit; abort removes the new ones and forgets what was staged in the others. */
#include <stdio.h>
#include <string.h>

#include "store.h"

/* Last: it poisons names. */
#include "sextant/sx_ban.h"

/* --- table --- */

static struct store_table *table_make(const struct sx_mem *mem, uint32_t cap)
{
    uint64_t head = store_round_up(sizeof(struct store_table), 16);
    uint64_t entry = sizeof(struct store_file *) + sizeof(const uint8_t *);
    struct store_table *t = mem->zalloc(mem, head + cap * entry);

    if (!t)
        return NULL;
    t->mem = mem;
    t->cap = cap;
    atomic_init(&t->n, 0);
    t->files = (void *)((char *)t + head);
    t->bases = (void *)(t->files + cap);
    return t;
}

static void table_release(void *arg)
{
    struct store_table *t = arg;

    t->mem->release(t->mem, t);
}

static struct store_table *table_get(struct store_set *s)
{
    return atomic_load_explicit(&s->table, memory_order_acquire); /* pairs with table_publish() */
}

static void table_publish(struct store_set *s, struct store_table *t)
{
    struct store_table *old = atomic_load_explicit(&s->table, memory_order_relaxed);

    atomic_store_explicit(&s->table, t, memory_order_release); /* pairs with table_get() */
    if (old)
        s->m->epoch->retire(table_release, old);
}

static struct store_table *table_copy(struct store_set *s, uint32_t cap)
{
    struct store_table *old = table_get(s);
    uint32_t n = atomic_load_explicit(&old->n, memory_order_relaxed);
    struct store_table *t = table_make(s->m->mem, cap);

    if (!t)
        return NULL;
    memcpy(t->files, old->files, n * sizeof(*t->files));
    memcpy(t->bases, old->bases, n * sizeof(*t->bases));
    atomic_init(&t->n, n);
    return t;
}

int store_set_room(struct store_set *s, uint32_t number, struct sx_err *err)
{
    struct store_table *t = table_get(s);
    uint64_t cap = t->cap;

    while (cap <= number)
        cap *= 2;
    if (cap > t->cap) {
        t = cap <= UINT32_MAX ? table_copy(s, (uint32_t)cap) : NULL;
        if (!t)
            return sx_err_set(err, SX_ENOMEM, "no memory for a table of %u files", number + 1);
        table_publish(s, t);
    }
    /* Something to publish instead of this table. Only its size matters now. */
    if ((s->spare || number < atomic_load_explicit(&t->n, memory_order_relaxed)) &&
        (!s->spare || s->spare->cap < t->cap)) {
        if (s->spare)
            table_release(s->spare);
        s->spare = table_make(s->m->mem, t->cap);
        if (!s->spare)
            return sx_err_set(err, SX_ENOMEM, "no memory for a table of %u files", t->cap);
    }
    return SX_OK;
}

static void table_set(struct store_table *t, struct store_file *f)
{
    t->files[f->number] = f;
    t->bases[f->number] = f->data;
    if (f->number >= atomic_load_explicit(&t->n, memory_order_relaxed))
        atomic_store_explicit(&t->n, f->number + 1, memory_order_release); /* store_set_at() */
}

void store_set_add(struct store_set *s, struct store_file *f)
{
    table_set(table_get(s), f); /* numbers that were skipped read as absent */
}

/* A copy of the table that readers do not know yet, in the room made for it. */
static struct store_table *table_spare(struct store_set *s)
{
    struct store_table *t = table_get(s), *copy = s->spare;
    uint32_t n = atomic_load_explicit(&t->n, memory_order_relaxed);

    s->spare = NULL;
    memcpy(copy->files, t->files, n * sizeof(*t->files));
    memcpy(copy->bases, t->bases, n * sizeof(*t->bases));
    atomic_store_explicit(&copy->n, n, memory_order_relaxed);
    return copy;
}

struct store_file *store_set_at(struct store_set *s, uint32_t number)
{
    struct store_table *t = table_get(s);

    /* acquire: pairs with store_set_add() */
    if (number >= atomic_load_explicit(&t->n, memory_order_acquire))
        return NULL;
    return t->files[number];
}

uint32_t store_set_end(struct store_set *s)
{
    uint32_t n;

    s->m->epoch->enter();
    n = atomic_load_explicit(&table_get(s)->n, memory_order_acquire);
    s->m->epoch->leave();
    return n;
}

struct store_file *store_set_pin(struct store_set *s, uint32_t number)
{
    struct store_file *f;

    /* The table's reference is given up through retire, so inside the epoch there still is one. */
    s->m->epoch->enter();
    f = store_set_at(s, number);
    if (f)
        store_file_ref(f);
    s->m->epoch->leave();
    return f;
}

/* --- life --- */

int store_set_init(struct store_set *s,
                   const struct store_module *m,
                   const struct sx_io *io,
                   struct sx_dir *dir,
                   const char *name,
                   const struct sx_store_id *id,
                   struct sx_err *err)
{
    uint64_t n = strlen(name);
    struct store_table *t;

    if (n == 0 || n > STORE_NAME_MAX)
        return sx_err_set(err, SX_EINPUT, "store name of %llu bytes", (unsigned long long)n);
    t = table_make(m->mem, 4);
    if (!t)
        return sx_err_set(err, SX_ENOMEM, "%s: no memory", name);
    if (pthread_mutex_init(&s->lock, NULL)) {
        table_release(t);
        return sx_err_set(err, SX_ENOMEM, "%s: no memory for a lock", name);
    }
    s->m = m;
    s->io = io;
    s->dir = dir;
    s->id = *id;
    memcpy(s->name, name, n + 1);
    s->failed.size = (uint32_t)sizeof(s->failed);
    atomic_init(&s->disk, 0);
    atomic_init(&s->ram, 0);
    atomic_init(&s->flushing, 0);
    atomic_init(&s->table, t);
    return SX_OK;
}

void store_set_fini(struct store_set *s)
{
    struct store_table *t = table_get(s);
    uint32_t i, n = atomic_load_explicit(&t->n, memory_order_relaxed);

    while (s->dirty) {
        struct store_file *f = s->dirty;

        s->dirty = f->dirty_next[s->flip];
        store_file_unref(f);
    }
    for (i = 0; i < n; i++)
        if (t->files[i])
            store_file_unref(t->files[i]);
    table_release(t);
    if (s->spare)
        table_release(s->spare);
    pthread_mutex_destroy(&s->lock);
}

void store_set_name(const struct store_set *s, uint32_t number, uint32_t side, char *out)
{
    (void)snprintf(out, STORE_FILE_NAME, "%s.%08x%s", s->name, number, side ? ".crc" : "");
}

int store_set_drop(struct store_set *s, uint32_t number, struct sx_err *err)
{
    struct store_file *f = store_set_at(s, number);
    struct store_table *t;
    int rc;

    if (!f)
        return sx_err_set(err, SX_ENOTFOUND, "%s: no file %u", s->name, number);
    t = table_copy(s, table_get(s)->cap);
    if (!t)
        return sx_err_set(err, SX_ENOMEM, "%s: no memory to drop file %u", s->name, number);
    t->files[number] = NULL;
    t->bases[number] = NULL;
    table_publish(s, t);

    /* The names go at once: readers hold the mapping, the manifest no longer needs the file. The
     * directory is not synced; should the names come back after a power cut, open() removes them.
     */
    rc = store_file_unlink(s, f, err);
    store_file_uncount(s, f);
    /* A number that comes back belongs to another file: what of this one is dirty is nobody's. */
    s->m->epoch->retire(store_file_unref_fn, f);
    return rc;
}

/* --- operations --- */

int store_op_file(struct store_set *s,
                  struct store_op *op,
                  uint32_t number,
                  uint64_t full,
                  struct store_file **out,
                  struct sx_err *err)
{
    struct store_file *f;
    int rc;

    for (f = op->first; f; f = f->op_next) {
        if (f->number == number) {
            *out = f;
            return SX_OK;
        }
    }
    f = store_set_at(s, number);
    if (!f) {
        rc = store_set_room(s, number, err);
        if (!rc)
            rc = store_file_create(s, number, full, &f, err);
        if (rc)
            return rc;
        f->is_new = 1;
    }
    f->staged = atomic_load_explicit(&f->bytes, memory_order_relaxed);
    f->staged_crc = f->crc;
    f->staged_seal = 0;
    f->op_next = NULL;
    if (op->last)
        op->last->op_next = f;
    else
        op->first = f;
    op->last = f;
    *out = f;
    return SX_OK;
}

void store_op_commit(struct store_set *s, struct store_op *op)
{
    struct store_table *t = table_get(s), *copy = NULL;
    uint32_t n = atomic_load_explicit(&t->n, memory_order_relaxed);
    struct store_file *f, *next;

    for (f = op->first; f; f = f->op_next)
        if (f->is_new && f->number < n && !copy)
            copy = table_spare(s);
    for (f = op->first; f; f = next) {
        next = f->op_next;
        f->crc = f->staged_crc;
        f->sealed = f->staged_seal;
        /* release: pairs with the bound check of blobs_get(); also orders the data before it */
        atomic_store_explicit(&f->bytes, f->staged, memory_order_release);
        if (f->is_new) {
            f->is_new = 0;
            table_set(copy ? copy : t, f);
        }
        store_set_dirty(s, f);
    }
    if (copy)
        table_publish(s, copy);
}

void store_op_abort(struct store_set *s, struct store_op *op)
{
    struct store_file *f, *next;

    for (f = op->first; f; f = next) {
        next = f->op_next;
        if (!f->is_new)
            continue;
        /* Best effort: a leftover is unlinked when the number is used, or by the next open(). */
        (void)store_file_unlink(s, f, NULL);
        store_file_uncount(s, f);
        store_file_unref(f);
    }
}

/* --- for everybody --- */

void store_file_durable(struct store_set *s, struct store_file *f, struct store_durable *out)
{
    pthread_mutex_lock(&s->lock);
    *out = f->durable;
    pthread_mutex_unlock(&s->lock);
}

void store_set_files(struct store_set *s,
                     void (*sink)(void *arg, const char *file, uint64_t bytes),
                     void *arg)
{
    char name[STORE_FILE_NAME];
    uint32_t i, n;

    n = store_set_end(s);
    for (i = 0; i < n; i++) {
        struct store_durable d = {0};
        struct store_file *f;
        uint64_t sums;

        /* The sink may wait for a disk, so it is called outside the epoch. */
        s->m->epoch->enter();
        f = store_set_at(s, i);
        if (f)
            store_file_durable(s, f, &d);
        s->m->epoch->leave();
        if (d.bytes == 0)
            continue;
        store_set_name(s, i, 0, name);
        sink(arg, name, SX_FILE_HEAD_BYTES + d.bytes);
        sums = store_blocks(d.bytes) + (d.sealed && d.bytes % SX_BLOCK_BYTES);
        if (sums) {
            store_set_name(s, i, 1, name);
            sink(arg, name, SX_FILE_HEAD_BYTES + sums * sizeof(uint32_t));
        }
    }
}
