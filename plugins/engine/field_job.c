/* Background work of one index: sealing what has ended, building what is missing, saving.
 *
 * The writer chooses the work and publishes its result; in between a job touches nothing that
 * changes: rows of an ended part, documents it is given, images. One job of an index at a time, so
 * no part that a job looks at can be taken out of the list meanwhile.
 *
 * A build takes the neighbour before its gap along when that is no longer than the gap (and the
 * next one, if it is no longer than both, ...). So a chunk that is built piece by piece, a few rows
 * after each start of a small shard, has at most some 16 parts, and each row is read again some 16
 * times at most.
 *
 * Building goes before saving while little waits to be saved: parts are then synced in batches,
 * with one sync of the directory for all. */
#include <string.h>

#include "field_priv.h"
#include "reserve.h"

#include "sextant/sx_ban.h"

#define SAVE_BYTES   (4ull << 20) /* unsaved images from which saving goes first */
#define SAVE_PENALTY 1024u        /* longest wait after failed saves, in calls of next() */

struct field_job {
    const struct eng_field *f;
    const struct field_part *ended; /* SEAL */
    struct field_part *building;    /* BUILD: rows [from, ...) so far */
    uint32_t from;
    uint32_t n_made, cap_made;
    struct field_part **made; /* in order of rows; SAVE: made[i] of saving[i], or NULL */
    struct field_part **saving;
    uint32_t n_saving, pad;
    struct field_trash *trash; /* SAVE: to be removed first */
};

/* --- choosing ---------------------------------------------------------------------------- */

static void trash_add(struct eng_field *f, uint32_t lo)
{
    struct field_trash *t = f->eng->mem->zalloc(f->eng->mem, sizeof(*t));

    /* Without memory the file stays; the next open finds that it overlaps. */
    if (t == NULL) {
        f->lost = 1;
        return;
    }
    *t = (struct field_trash){f->trash, lo, 0};
    f->trash = t;
}

static int is_damaged(const struct field_part *p)
{
    return atomic_load_explicit(&p->state, memory_order_relaxed) == PART_DAMAGED;
}

/* Parts that readers have found damaged become gaps. */
static void drop_damaged(struct eng_field *f)
{
    const struct field_list *old = eng_field_list(f);
    struct field_list *l;
    uint32_t n = 0;

    for (uint32_t i = 0; i < old->n; i++)
        n += (uint32_t)is_damaged(old->at[i].part);
    l = n != 0 ? eng_field_list_new(f, old->n) : NULL;
    if (l == NULL)
        return;
    for (uint32_t i = 0; i < old->n; i++) {
        if (is_damaged(old->at[i].part))
            trash_add(f, old->at[i].lo);
        else
            l->at[l->n++] = old->at[i];
    }
    eng_field_publish(f, l);
}

static int choose_seal(const struct field_list *l, struct eng_field_job *job, struct field_job *k)
{
    for (uint32_t i = 0; i < l->n; i++) {
        if (l->at[i].part->open == NULL || l->at[i].part == l->tail)
            continue;
        k->ended = l->at[i].part;
        job->kind = ENG_FIELD_SEAL;
        job->lo = l->at[i].lo;
        job->hi = l->at[i].hi;
        return 1;
    }
    return 0;
}

/* The first gap, and the short parts before it. */
static int choose_build(const struct field_list *l,
                        struct eng_fills rows,
                        struct eng_field_job *job,
                        struct field_job *k)
{
    struct field_gaps g = {NULL, l, rows, 0, 0, 0};
    uint32_t i;

    if (!eng_field_gap_next(&g, &job->lo, &job->hi))
        return 0;
    job->kind = ENG_FIELD_BUILD;
    for (i = g.i; i-- > 0;) {
        const struct field_ref *r = &l->at[i];

        if (r->lo >> SX_CHUNK_SHIFT != job->lo >> SX_CHUNK_SHIFT || r->part->open != NULL ||
            r->hi != job->lo || r->hi - r->lo > job->hi - job->lo)
            break;
        job->lo = r->lo;
    }
    k->from = job->lo;
    return 1;
}

static uint64_t unsaved(const struct field_list *l, uint32_t *n)
{
    uint64_t bytes = 0;

    *n = 0;
    for (uint32_t i = 0; i < l->n; i++) {
        if (l->at[i].part->block != NULL) {
            bytes += l->at[i].part->bytes;
            (*n)++;
        }
    }
    return bytes;
}

static int choose_save(struct eng_field *f,
                       const struct field_list *l,
                       uint32_t n,
                       struct eng_field_job *job,
                       struct field_job *k)
{
    const struct sx_mem *mem = f->eng->mem;

    k->saving = mem->zalloc(mem, (uint64_t)n * sizeof(k->saving[0]));
    k->made = mem->zalloc(mem, (uint64_t)n * sizeof(k->made[0]));
    if (k->saving == NULL || k->made == NULL)
        return 0;
    k->cap_made = n;
    for (uint32_t i = 0; i < l->n; i++) {
        if (l->at[i].part->block != NULL)
            k->saving[k->n_saving++] = l->at[i].part;
    }
    job->kind = ENG_FIELD_SAVE;
    job->lo = k->saving[0]->lo;
    job->hi = k->saving[n - 1]->hi;
    k->trash = f->trash;
    f->trash = NULL;
    return 1;
}

static void job_free(struct field_job *k)
{
    const struct sx_mem *mem = k->f->eng->mem;

    for (uint32_t i = 0; i < k->n_made; i++) {
        if (k->made[i] != NULL)
            eng_field_part_destroy(k->made[i]);
    }
    if (k->building != NULL)
        eng_field_part_destroy(k->building);
    mem->release(mem, k->made);
    mem->release(mem, k->saving);
    mem->release(mem, k);
}

static int may_save(struct eng_field *f)
{
    if (f->save_wait == 0)
        return 1;
    f->save_wait--;
    return 0;
}

void eng_field_hold_saves(struct eng_field *f, int is_held)
{
    f->saves_held = is_held != 0;
}

int eng_field_next(struct eng_field *f, struct eng_fills rows, struct eng_field_job *job)
{
    const struct field_list *l;
    struct field_job *k;
    uint32_t n_unsaved;
    uint64_t bytes;
    int found;

    if (f->busy)
        return 0;
    drop_damaged(f);
    l = eng_field_list(f);
    k = f->eng->mem->zalloc(f->eng->mem, sizeof(*k));
    if (k == NULL)
        return 0;
    k->f = f;
    *job = (struct eng_field_job){f, 0, 0, 0, k};
    bytes = unsaved(l, &n_unsaved);
    if (n_unsaved != 0 && (f->saves_held || !may_save(f)))
        n_unsaved = 0;
    found = choose_seal(l, job, k);
    if (!found && n_unsaved != 0 && bytes >= SAVE_BYTES)
        found = choose_save(f, l, n_unsaved, job, k);
    if (!found)
        found = choose_build(l, rows, job, k);
    if (!found && n_unsaved != 0)
        found = choose_save(f, l, n_unsaved, job, k);
    if (!found) {
        job_free(k);
        *job = (struct eng_field_job){0};
        return 0;
    }
    f->busy = 1;
    f->busy_lo = job->kind == ENG_FIELD_SAVE ? 0 : job->lo; /* what it removes may lie anywhere */
    f->busy_hi = job->kind == ENG_FIELD_SAVE ? UINT32_MAX : job->hi;
    return 1;
}

/* --- running ----------------------------------------------------------------------------- */

static int no_memory(struct sx_err *err)
{
    return sx_err_set(err, SX_ENOMEM, "out of memory");
}

static int made_add(struct field_job *k, struct field_part *p)
{
    const struct sx_mem *mem = k->f->eng->mem;

    if (k->n_made == k->cap_made) {
        uint32_t cap = k->cap_made * 2 + 4;
        struct field_part **made = mem->resize(mem, k->made, (uint64_t)cap * sizeof(*made));

        if (made == NULL) {
            eng_field_part_destroy(p);
            return SX_ENOMEM;
        }
        k->made = made;
        k->cap_made = cap;
    }
    k->made[k->n_made++] = p;
    return SX_OK;
}

/* Seals what has been gathered as rows [from, hi). */
static int build_end(struct field_job *k, uint32_t hi, struct sx_err *err)
{
    struct field_part *p = NULL;
    int rc;

    eng_field_part_commit(k->building);
    rc = eng_field_seal(k->f, k->building, k->from, hi, &p, err);
    if (rc != SX_OK)
        return rc;
    eng_field_part_destroy(k->building);
    k->building = NULL;
    k->from = hi;
    return made_add(k, p) == SX_OK ? SX_OK : no_memory(err);
}

static int build_begin(struct field_job *k, struct sx_err *err)
{
    if (k->building == NULL)
        k->building = eng_field_part_open(k->f, k->from);
    return k->building != NULL ? SX_OK : no_memory(err);
}

int eng_field_build_add(struct eng_field_job *job,
                        uint32_t row,
                        struct sx_doc payload,
                        struct sx_err *err)
{
    struct field_job *k = job->priv;
    int rc = SX_OK;

    if (k->building != NULL && k->building->presence.n != 0 &&
        k->f->ops->open_is_full(k->building->open))
        rc = build_end(k, row, err);
    if (rc == SX_OK)
        rc = build_begin(k, err);
    if (rc == SX_OK && eng_field_part_add(k->f, k->building, row, payload) != SX_OK)
        rc = no_memory(err);
    return rc;
}

static int run_save(struct field_job *k, struct sx_err *err)
{
    const struct eng_field *f = k->f;
    int rc = SX_OK;

    for (const struct field_trash *t = k->trash; t != NULL && rc == SX_OK; t = t->next)
        rc = eng_field_unlink(f, t->lo, err);
    for (uint32_t i = 0; i < k->n_saving && rc == SX_OK; i++) {
        rc = eng_reserve_check(f->eng->reserve, err);
        if (rc != SX_OK)
            break;
        rc = eng_field_save(f, k->saving[i], &k->made[i], err);
        k->n_made = i + 1;
    }
    if (rc == SX_OK)
        rc = f->eng->io->dir_sync(f->conf.dir, err);
    return rc;
}

int eng_field_run(struct eng_field_job *job, struct sx_err *err)
{
    struct field_job *k = job->priv;
    struct field_part *p = NULL;
    int rc;

    switch (job->kind) {
    case ENG_FIELD_SEAL:
        rc = eng_field_seal(k->f, k->ended, job->lo, job->hi, &p, err);
        if (rc == SX_OK && made_add(k, p) != SX_OK)
            rc = no_memory(err);
        return rc;
    case ENG_FIELD_BUILD:
        rc = build_begin(k, err);
        return rc == SX_OK ? build_end(k, job->hi, err) : rc;
    default:
        return run_save(k, err);
    }
}

/* --- publishing -------------------------------------------------------------------------- */

/* The list with the made parts in place of what lay in the rows of the job. */
static void replace_rows(struct eng_field *f, const struct eng_field_job *job, struct field_job *k)
{
    const struct field_list *old = eng_field_list(f);
    struct field_list *l = eng_field_list_new(f, old->n + k->n_made);
    uint32_t i = 0;

    if (l == NULL)
        return; /* done again */
    for (; i < old->n && old->at[i].hi <= job->lo; i++)
        l->at[l->n++] = old->at[i];
    for (; i < old->n && old->at[i].lo < job->hi; i++) {
        if (old->at[i].part->map != NULL)
            trash_add(f, old->at[i].lo);
    }
    for (uint32_t m = 0; m < k->n_made; m++)
        l->at[l->n++] = (struct field_ref){k->made[m], k->made[m]->lo, k->made[m]->hi};
    for (; i < old->n; i++)
        l->at[l->n++] = old->at[i];
    k->n_made = 0;
    eng_field_publish(f, l);
}

/* The list with saved parts in place of those in memory. */
static void replace_saved(struct eng_field *f, struct field_job *k)
{
    const struct field_list *old = eng_field_list(f);
    struct field_list *l;
    uint32_t m = 0;

    if (k->n_made == 0 || (l = eng_field_list_new(f, old->n)) == NULL)
        return;
    for (uint32_t i = 0; i < old->n; i++) {
        struct field_ref r = old->at[i];

        if (m < k->n_made && r.part == k->saving[m]) {
            if (k->made[m] != NULL)
                r.part = k->made[m];
            k->made[m++] = NULL;
        }
        l->at[l->n++] = r;
    }
    eng_field_publish(f, l);
}

/* What could not be removed, or not durably, is kept for the next time; unless a part has been
 * saved under that name. */
static void give_trash(struct eng_field *f, struct field_job *k, int rc)
{
    while (k->trash != NULL) {
        struct field_trash *t = k->trash;
        int keep = rc != SX_OK;

        k->trash = t->next;
        for (uint32_t i = 0; i < k->n_made && keep; i++)
            keep = k->made[i] == NULL || k->made[i]->lo != t->lo;
        if (keep) {
            t->next = f->trash;
            f->trash = t;
        } else {
            f->eng->mem->release(f->eng->mem, t);
        }
    }
}

static void save_ended(struct eng_field *f, struct field_job *k, int rc)
{
    give_trash(f, k, rc);
    replace_saved(f, k);
    if (rc == SX_OK)
        f->save_penalty = 0;
    else if (f->save_penalty == 0)
        f->save_penalty = SAVE_PENALTY / 64;
    else if (f->save_penalty < SAVE_PENALTY)
        f->save_penalty *= 2;
    f->save_wait = f->save_penalty;
}

void eng_field_done(struct eng_field_job *job, int rc)
{
    struct eng_field *f = job->field;
    struct field_job *k = job->priv;

    if (job->kind == ENG_FIELD_SAVE)
        save_ended(f, k, rc);
    else if (rc == SX_OK)
        replace_rows(f, job, k);
    f->busy = 0;
    job_free(k);
    *job = (struct eng_field_job){0};
}
