/* What a change writes into the stores: vectors, locations, payloads.
 *
 * Numbers are taken first (clean_units.h), then entries are appended under them. Nothing of it is
 * seen by readers before the commit (table_stage.c), and all of it can be taken back.
 *
 * Threads: the writer. */
#include <string.h>

#include "table_priv.h"

#include "sextant/sx_ban.h"

static void *scratch(struct eng_table *t, uint64_t n)
{
    if (n > t->scratch_n) {
        t->eng->mem->release(t->eng->mem, t->scratch);
        t->scratch_n = 0;
        t->scratch = t->eng->mem->alloc(t->eng->mem, n + n / 2);
        if (t->scratch)
            t->scratch_n = n + n / 2;
    }
    return t->scratch;
}

/* Appends entries under the numbers they were given. */
int eng_table_append(const struct sx_provider *p,
                     void *store,
                     const void *entries,
                     uint32_t size,
                     const uint32_t *numbers,
                     uint32_t n,
                     struct sx_err *err)
{
    const uint8_t *from = entries;
    int rc = 0;
    for (uint32_t i = 0, run; rc == 0 && i < n; i += run, from += (uint64_t)run * size) {
        uint32_t first = numbers[i];
        for (run = 1; i + run < n && numbers[i + run] == numbers[i] + run &&
                      numbers[i + run] % SX_CHUNK_ROWS != 0;)
            run++;
        if (numbers[i] % SX_CHUNK_ROWS == 0)
            rc = eng_rops(p)->begin(p->self, store, numbers[i] >> SX_CHUNK_SHIFT, err);
        if (rc == 0)
            rc = eng_rops(p)->append(p->self, store, from, run, &first, err);
        if (rc == 0 && first != numbers[i])
            rc = sx_err_set(err, SX_EINTERNAL, "row %u was written as row %u", numbers[i], first);
    }
    return rc;
}

/* Takes back what eng_table_append() may have done. */
void eng_table_take_back(
    const struct sx_provider *p, void *store, uint64_t next, const uint32_t *numbers, uint32_t n)
{
    eng_rops(p)->cut(p->self, store, next);
    for (uint32_t i = 0; i < n; i++) {
        /* Without memory the file stays; beginning the chunk again then fails until there is. */
        if (numbers[i] % SX_CHUNK_ROWS == 0)
            (void)eng_rops(p)->drop(p->self, store, numbers[i] >> SX_CHUNK_SHIFT, NULL);
    }
}

/* Counts what a put has written, alive or not yet. */
static int
count_written(struct eng_units *u, const sx_locator *locs, const struct sx_str *blobs, uint32_t n)
{
    uint32_t most = 0;
    for (uint32_t i = 0; i < n; i++)
        most = (uint32_t)(locs[i] >> 32) > most ? (uint32_t)(locs[i] >> 32) : most;
    if (n && eng_units_room(u, most + 1) != 0)
        return SX_ENOMEM;
    for (uint32_t i = 0; i < n; i++)
        eng_units_written(u, (uint32_t)(locs[i] >> 32), eng_blob_room(blobs[i].n));
    return 0;
}

/* The bytes of multi or sparse vectors; t->locators then tells where they are. */
static int put_blobs(struct eng_table *t,
                     struct eng_column *c,
                     uint32_t ci,
                     const struct eng_new_row *rows,
                     uint32_t n,
                     uint32_t have,
                     struct sx_err *err)
{
    const struct sx_mem *mem = t->eng->mem;
    struct sx_str *blobs = mem->alloc(mem, (have + 1ull) * sizeof(*blobs));
    sx_locator *locs = mem->resize(mem, t->locators, (have + 1ull) * sizeof(*locs));
    uint32_t at = 0;
    int rc = 0;
    if (locs)
        t->locators = locs;
    if (!blobs || !locs)
        rc = sx_err_set(err, SX_ENOMEM, "out of memory");
    for (uint32_t i = 0; rc == 0 && i < n; i++) {
        const char *v = rows[i].vectors[ci];
        if (!v || (const void *)v == ENG_KEEP)
            continue;
        blobs[at].p = v;
        blobs[at].pad = 0;
        memcpy(&blobs[at++].n, v - 4, 4);
    }
    if (rc == 0 && have)
        rc = eng_bops(t->blobs_p)->put(t->blobs_p->self, c->blobs, blobs, have, locs, err);
    if (rc == 0 && count_written(&c->segments, locs, blobs, have) != 0)
        rc = sx_err_set(err, SX_ENOMEM, "out of memory");
    uint64_t room = 0;
    for (uint32_t i = 0; rc == 0 && i < have; i++)
        room += eng_blob_room(blobs[i].n);
    t->staged.columns[ci].room = have ? (uint32_t)(room / have) : 0;
    mem->release(mem, blobs);
    return rc;
}

/* May numbers of nodes be used again? An index that takes nodes out answers for itself; one that
 * keeps nothing of a node has nothing to take out. */
static int reuses_nodes(const struct eng_column *c, uint32_t chunk)
{
    const struct sx_index_ops *ix = c->index_p->ops;
    if (!c->index || !(c->index_p->caps & SX_INDEX_REMOVE))
        return 1;
    return ix->forgotten(c->index_p->self, c->index, chunk << SX_CHUNK_SHIFT, SX_CHUNK_ROWS) == 1;
}

/* Numbers for the new vectors of a column; those of an index that remembers are left out. */
static int take_nodes(struct eng_column *c, struct eng_taker *k, uint32_t *nodes, uint32_t n)
{
    for (uint32_t i = 0; i < n; i++) {
        nodes[i] = eng_units_take(&c->nodes, k);
        while (nodes[i] != UINT32_MAX && nodes[i] % SX_CHUNK_ROWS == 0 &&
               nodes[i] >> SX_CHUNK_SHIFT < c->nodes.n &&
               !reuses_nodes(c, nodes[i] >> SX_CHUNK_SHIFT)) {
            k->next = 0; /* the next free one is looked for */
            nodes[i] = eng_units_take(&c->nodes, k);
        }
        if (nodes[i] == UINT32_MAX)
            return SX_ENOSPACE;
    }
    if (eng_column_unlinked_room(c, n) != 0)
        return SX_ENOMEM;
    return eng_units_room(&c->nodes, k->floor > c->nodes.n ? k->floor : c->nodes.n);
}

/* Vectors and locations of column ci for n new rows. n_nodes and in_step only move at commit. */
int eng_table_put_column(struct eng_table *t,
                         uint32_t ci,
                         const struct eng_new_row *rows,
                         uint32_t n,
                         struct sx_err *err)
{
    struct eng_column *c = t->columns[ci];
    struct eng_staged *st = &t->staged;
    uint32_t *nodes = st->columns[ci].nodes;
    uint32_t have = 0, at = 0;
    for (uint32_t i = 0; i < n; i++)
        have += rows[i].vectors[ci] != NULL && rows[i].vectors[ci] != ENG_KEEP;
    st->columns[ci].taker = eng_units_taker(&c->nodes);
    int rc = take_nodes(c, &st->columns[ci].taker, nodes, have);
    if (rc != 0)
        return sx_err_set(
            err, rc, rc == SX_ENOMEM ? "out of memory" : "the shard's vector numbers are used up");
    uint64_t loc_at = ((uint64_t)have * c->row_bytes + 63) & ~63ull;
    if (c->blobs) { /* the blobs first: their locators are the rows */
        rc = put_blobs(t, c, ci, rows, n, have, err);
        if (rc != 0)
            return rc;
    }
    uint8_t *buf = scratch(t, loc_at + n * 4ull);
    if (!buf)
        return sx_err_set(err, SX_ENOMEM, "out of memory");
    uint32_t *locs = (uint32_t *)(void *)(buf + loc_at);
    int stays = c->in_step && have == n;
    for (uint32_t i = 0; i < n; i++) {
        locs[i] = ENG_NO_LOC;
        if (rows[i].vectors[ci] == ENG_KEEP) {
            locs[i] = eng_table_loc(t, ci, rows[i].from);
            if (locs[i] != ENG_NO_LOC)
                st->kept[st->n_kept++] = (struct eng_kept){ci, locs[i], st->rows[i]};
        } else if (rows[i].vectors[ci]) {
            const void *from = c->blobs ? &t->locators[at] : rows[i].vectors[ci];
            memcpy(buf + (uint64_t)at * c->row_bytes, from, c->row_bytes);
            locs[i] = nodes[at++];
        }
        stays = stays && locs[i] == st->rows[i];
    }
    st->columns[ci].n = have;
    st->columns[ci].is_put = 1;
    if (!stays && eng_column_rows_room(t, c, nodes, have) != 0)
        return sx_err_set(err, SX_ENOMEM, "out of memory");
    rc = eng_table_append(c->rows_p, c->vec, buf, c->row_bytes, nodes, have, err);
    if (rc == 0)
        rc = eng_table_append(t->rows_p, c->loc, locs, sizeof(*locs), st->rows, n, err);
    st->columns[ci].n = have;
    c->next_in_step = (uint32_t)stays;
    return rc;
}

int eng_table_put_payloads(struct eng_table *t,
                           const struct eng_new_row *rows,
                           uint32_t n,
                           sx_locator *locs,
                           struct sx_str *blobs,
                           struct sx_err *err)
{
    uint32_t have = 0;
    for (uint32_t i = 0; i < n; i++) {
        if (rows[i].payload.n && !rows[i].keeps_payload)
            blobs[have++] = rows[i].payload;
    }
    int rc =
        have ? eng_bops(t->blobs_p)->put(t->blobs_p->self, t->payload, blobs, have, locs, err) : 0;
    if (rc == 0 && count_written(&t->segments, locs, blobs, have) != 0)
        rc = sx_err_set(err, SX_ENOMEM, "out of memory");
    if (rc != 0)
        return rc;
    for (uint32_t i = n; i-- > 0;) {
        if (rows[i].keeps_payload)
            locs[i] = eng_table_row(t, rows[i].from)->payload;
        else
            locs[i] = rows[i].payload.n ? locs[--have] : ENG_NO_BLOB;
    }
    return 0;
}

/* Appends n copies of an entry below 64 bytes, in the chunk `chunk` from its start when that has to
 * be begun. */
static int pad(const struct eng_table *t,
               void *store,
               const void *entry,
               uint32_t size,
               uint32_t n,
               struct sx_err *err)
{
    uint8_t buf[64 * 64];
    uint32_t first, m = sizeof(buf) / size;
    for (uint32_t i = 0; i < m; i++)
        memcpy(buf + (uint64_t)i * size, entry, size);
    for (int rc; n; n -= m) {
        m = n < m ? n : m;
        rc = eng_rops(t->rows_p)->append(t->rows_p->self, store, buf, m, &first, err);
        if (rc != 0)
            return rc;
    }
    return 0;
}

static const uint32_t no_loc = ENG_NO_LOC;

/* Full chunks first: the open one must be the last that is written. */
int eng_table_fill_column(struct eng_table *t, struct eng_column *c, struct sx_err *err)
{
    uint32_t open =
        t->chunks.next % SX_CHUNK_ROWS ? (uint32_t)(t->chunks.next >> SX_CHUNK_SHIFT) : UINT32_MAX;
    int rc = 0;
    for (uint32_t pass = 0; pass < 2; pass++) {
        for (uint32_t i = 0; rc == 0 && i < t->chunks.n; i++) {
            const struct eng_unit *u = &t->chunks.at[i];
            if (!eng_unit_is_present(u) || u->state == ENG_UNIT_LEFT || (i == open) != pass)
                continue;
            rc = eng_rops(t->rows_p)->begin(t->rows_p->self, c->loc, i, err);
            if (rc == 0)
                rc = pad(t, c->loc, &no_loc, sizeof(no_loc), u->fill, err);
        }
    }
    c->in_step = t->n_rows == 0;
    if (rc == 0 && !c->in_step && eng_column_rows_room(t, c, NULL, 0) != 0)
        rc = sx_err_set(err, SX_ENOMEM, "out of memory");
    return rc;
}
