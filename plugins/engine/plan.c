/* Filters over a view, chunk by chunk; see plan.h. */
#include "plan.h"

#include <string.h>

#include "field_part.h"
#include "schema.h"

#include "sextant/sx_ban.h"

#define DOC_BATCH 256u

/* Rows that match for certain and rows that may. Neither holds rows beyond the chunk's fill. */
struct tri {
    struct eng_bits yes, maybe;
};

/* Rows of a has_id condition in this view, ascending; found once, at the first chunk. */
struct id_rows {
    const struct eng_leaf *leaf;
    uint32_t *rows, n, pad;
    struct id_rows *next;
};

/* Bits of one chunk, kept for eng_plan_row(). */
struct chunk_bits {
    struct tri *t; /* NULL until asked for */
};

struct eng_plan {
    struct eng_shard *s;
    const struct eng_reader *r;
    struct eng_filter *filter;
    struct sx_arena *arena;
    struct id_rows *ids;
    struct tri *free_tri[2 * SX_DOC_MAX_DEPTH + 8];
    uint32_t n_free, n_chunks;
    struct chunk_bits *chunks;
    struct eng_match_scratch scratch;
    uint32_t row; /* of the subject being matched */
    uint32_t no_memory;
};

/* --- small parts -------------------------------------------------------------------------------
 */

static struct tri *tri_get(struct eng_plan *p)
{
    struct tri *t = p->n_free ? p->free_tri[--p->n_free] : sx_arena_alloc(p->arena, sizeof(*t));
    if (!t)
        p->no_memory = 1;
    else
        memset(t, 0, sizeof(*t));
    return t;
}

static void tri_put(struct eng_plan *p, struct tri *t)
{
    if (t && p->n_free < SX_COUNT(p->free_tri))
        p->free_tri[p->n_free++] = t;
}

static void bits_fill(struct eng_bits *b, uint32_t fill)
{
    memset(b->w, 0xff, fill / 64 * 8);
    memset(b->w + fill / 64, 0, sizeof(b->w) - fill / 64 * 8);
    if (fill % 64)
        b->w[fill / 64] = (UINT64_C(1) << fill % 64) - 1;
}

static int bits_any(const struct eng_bits *b)
{
    uint64_t any = 0;
    for (uint32_t i = 0; i < ENG_BITS_WORDS; i++)
        any |= b->w[i];
    return any != 0;
}

static uint32_t bits_count(const struct eng_bits *b)
{
    uint32_t n = 0;
    for (uint32_t i = 0; i < ENG_BITS_WORDS; i++)
        n += (uint32_t)__builtin_popcountll(b->w[i]);
    return n;
}

static uint32_t fill_of(const struct eng_plan *p, uint32_t chunk)
{
    return chunk < p->r->v->n_chunks ? p->r->v->fill[chunk] : 0;
}

static int has_vector(const void *ctx, struct sx_str name)
{
    const struct eng_plan *p = ctx;
    const struct eng_column_conf *c = eng_config_column(p->r->v->schema->config, name);
    return c && eng_reader_loc(p->r, c->slot, p->row) != ENG_NO_LOC;
}

static int match_row(struct eng_plan *p, uint32_t row, struct sx_doc payload)
{
    struct eng_subject subject = {.payload = payload, .has_vector = has_vector, .ctx = p};
    eng_row_id(eng_reader_row(p->r, row), &subject.id);
    p->row = row;
    return eng_filter_match(p->filter->root, &subject, &p->scratch);
}

/* --- leaves ------------------------------------------------------------------------------------
 */

static void sort_rows(uint32_t *rows, uint32_t n)
{
    for (uint32_t gap = n / 2; gap; gap /= 2) {
        for (uint32_t i = gap; i < n; i++) {
            uint32_t v = rows[i], j = i;
            for (; j >= gap && rows[j - gap] > v; j -= gap)
                rows[j] = rows[j - gap];
            rows[j] = v;
        }
    }
}

static const struct id_rows *rows_of_ids(struct eng_plan *p, const struct eng_leaf *leaf)
{
    struct id_rows *k = p->ids;
    while (k && k->leaf != leaf)
        k = k->next;
    if (k)
        return k;
    k = sx_arena_zalloc(p->arena, sizeof(*k));
    uint32_t *rows = sx_arena_alloc(p->arena, (leaf->cond->n_ids + 1ull) * 4);
    if (!k || !rows) {
        p->no_memory = 1;
        return NULL;
    }
    *k = (struct id_rows){leaf, rows, 0, 0, p->ids};
    for (uint32_t i = 0; i < leaf->cond->n_ids; i++) {
        uint32_t row = eng_reader_find(p->r, &leaf->cond->ids[i]);
        if (row != ENG_NO_ROW)
            rows[k->n++] = row;
    }
    sort_rows(rows, k->n);
    p->ids = k;
    return k;
}

static void leaf_ids(struct eng_plan *p, const struct eng_leaf *leaf, uint32_t chunk, struct tri *t)
{
    const struct id_rows *k = rows_of_ids(p, leaf);
    uint32_t lo = 0, hi = k ? k->n : 0;
    while (lo < hi) {
        uint32_t mid = lo + (hi - lo) / 2;
        if (k->rows[mid] >> SX_CHUNK_SHIFT < chunk)
            lo = mid + 1;
        else
            hi = mid;
    }
    for (; k && lo < k->n && k->rows[lo] >> SX_CHUNK_SHIFT == chunk; lo++)
        eng_bits_set(&t->yes, k->rows[lo] & (SX_CHUNK_ROWS - 1));
}

static void
leaf_vector(struct eng_plan *p, const struct eng_leaf *leaf, uint32_t chunk, struct tri *t)
{
    const struct eng_column_conf *c =
        eng_config_column(p->r->v->schema->config, leaf->cond->vector);
    uint32_t fill = fill_of(p, chunk), base = chunk << SX_CHUNK_SHIFT;
    if (!c)
        return;
    if (p->r->v->columns[c->slot].in_step) {
        bits_fill(&t->yes, fill);
        return;
    }
    for (uint32_t i = 0; i < fill; i++) {
        if (eng_reader_loc(p->r, c->slot, base + i) != ENG_NO_LOC)
            eng_bits_set(&t->yes, i);
    }
}

static void
eval_leaf(struct eng_plan *p, const struct eng_leaf *leaf, uint32_t chunk, struct tri *t)
{
    uint32_t fill = fill_of(p, chunk);
    if (leaf->kind == ENG_LEAF_HAS_ID)
        leaf_ids(p, leaf, chunk, t);
    else if (leaf->kind == ENG_LEAF_HAS_VECTOR)
        leaf_vector(p, leaf, chunk, t);
    else if (leaf->mode == ENG_LEAF_INDEXED && leaf->schema->field &&
             eng_field_answers(leaf->schema, leaf))
        eng_field_mask(leaf->schema->field, leaf, chunk, fill, &t->yes, &t->maybe);
    else
        bits_fill(&t->maybe, fill);
}

/* --- nodes -------------------------------------------------------------------------------------
 */

static void
eval(struct eng_plan *p, const struct eng_filter_node *n, uint32_t chunk, struct tri *t);

static void and_with(struct tri *t, const struct tri *k)
{
    for (uint32_t i = 0; i < ENG_BITS_WORDS; i++) {
        uint64_t yes = t->yes.w[i] & k->yes.w[i];
        t->maybe.w[i] = (t->yes.w[i] | t->maybe.w[i]) & (k->yes.w[i] | k->maybe.w[i]) & ~yes;
        t->yes.w[i] = yes;
    }
}

static void or_with(struct tri *t, const struct tri *k)
{
    for (uint32_t i = 0; i < ENG_BITS_WORDS; i++) {
        t->yes.w[i] |= k->yes.w[i];
        t->maybe.w[i] = (t->maybe.w[i] | k->maybe.w[i]) & ~t->yes.w[i];
    }
}

static void
eval_list(struct eng_plan *p, const struct eng_filter_node *n, uint32_t chunk, struct tri *t)
{
    int is_and = n->kind == ENG_NODE_AND;
    struct tri *k = tri_get(p);
    if (is_and)
        bits_fill(&t->yes, fill_of(p, chunk));
    for (uint32_t i = 0; k && i < n->n; i++) {
        memset(k, 0, sizeof(*k));
        eval(p, n->kids[i], chunk, k);
        if (is_and)
            and_with(t, k);
        else
            or_with(t, k);
        if (is_and && !bits_any(&t->yes) && !bits_any(&t->maybe))
            break;
    }
    tri_put(p, k);
}

static void
eval_not(struct eng_plan *p, const struct eng_filter_node *n, uint32_t chunk, struct tri *t)
{
    struct tri *k = tri_get(p);
    if (!k)
        return;
    eval(p, n->kids[0], chunk, k);
    bits_fill(&t->yes, fill_of(p, chunk));
    for (uint32_t i = 0; i < ENG_BITS_WORDS; i++) {
        t->yes.w[i] &= ~(k->yes.w[i] | k->maybe.w[i]);
        t->maybe.w[i] = k->maybe.w[i];
    }
    tri_put(p, k);
}

/* Counts per row how many kids hold and how many may: a row matches for certain when the first
 * reaches k, and cannot when both together do not. */
static void
eval_at_least(struct eng_plan *p, const struct eng_filter_node *n, uint32_t chunk, struct tri *t)
{
    uint32_t fill = fill_of(p, chunk);
    uint16_t *count = sx_arena_zalloc(p->arena, 2 * SX_CHUNK_ROWS * sizeof(*count));
    struct tri *k = tri_get(p);
    if (!count || !k || n->n > UINT16_MAX) {
        if (!count)
            p->no_memory = 1;
        bits_fill(&t->maybe, fill);
        tri_put(p, k);
        return;
    }
    for (uint32_t i = 0; i < n->n; i++) {
        memset(k, 0, sizeof(*k));
        eval(p, n->kids[i], chunk, k);
        for (uint32_t w = 0; w < ENG_BITS_WORDS; w++) {
            for (uint64_t b = k->yes.w[w]; b; b &= b - 1)
                count[2 * (w * 64 + (uint32_t)__builtin_ctzll(b))]++;
            for (uint64_t b = k->maybe.w[w]; b; b &= b - 1)
                count[2 * (w * 64 + (uint32_t)__builtin_ctzll(b)) + 1]++;
        }
    }
    for (uint32_t i = 0; i < fill; i++) {
        if (count[2 * i] >= n->k)
            eng_bits_set(&t->yes, i);
        else if ((uint64_t)count[2 * i] + count[2 * i + 1] >= n->k)
            eng_bits_set(&t->maybe, i);
    }
    tri_put(p, k);
}

static void eval(struct eng_plan *p, const struct eng_filter_node *n, uint32_t chunk, struct tri *t)
{
    switch (n->kind) {
    case ENG_NODE_TRUE:
        bits_fill(&t->yes, fill_of(p, chunk));
        break;
    case ENG_NODE_AND:
    case ENG_NODE_OR:
        eval_list(p, n, chunk, t);
        break;
    case ENG_NODE_NOT:
        eval_not(p, n, chunk, t);
        break;
    case ENG_NODE_AT_LEAST:
        eval_at_least(p, n, chunk, t);
        break;
    case ENG_NODE_LEAF:
        eval_leaf(p, n->leaf, chunk, t);
        break;
    default:
        break; /* FALSE */
    }
}

/* --- documents ---------------------------------------------------------------------------------
 */

struct docs {
    struct eng_plan *p;
    const uint32_t *rows;
    struct eng_bits *out;
};

static int doc_one(void *arg, uint32_t i, const void *payload, uint32_t n)
{
    struct docs *d = arg;
    if (match_row(d->p, d->rows[i], (struct sx_doc){payload, n, 0}))
        eng_bits_set(d->out, d->rows[i] & (SX_CHUNK_ROWS - 1));
    return 0;
}

static int failed(struct eng_plan *p, int rc, struct sx_err *err)
{
    if (rc == 0 && (p->no_memory || p->scratch.failed))
        rc = sx_err_set(err, SX_ENOMEM, "out of memory");
    if (rc == SX_ECORRUPT)
        eng_shard_damaged(p->s, err);
    return rc;
}

static int
get_docs(struct eng_plan *p, const sx_locator *locs, uint32_t n, struct docs *d, struct sx_err *err)
{
    const struct sx_provider *bp = p->s->table.blobs_p;
    return n ? ((const struct sx_blobs_ops *)bp->ops)
                   ->get(bp->self, p->s->table.payload, locs, n, doc_one, d, err)
             : 0;
}

/* Moves the rows of `maybe` that match to `out`. */
static int look(struct eng_plan *p,
                uint32_t chunk,
                const struct eng_bits *maybe,
                struct eng_bits *out,
                struct sx_err *err)
{
    uint32_t rows[DOC_BATCH], n = 0;
    sx_locator locs[DOC_BATCH];
    struct docs d = {p, rows, out};
    int rc = 0;
    for (uint32_t w = 0; w < ENG_BITS_WORDS && rc == 0; w++) {
        for (uint64_t b = maybe->w[w]; b && rc == 0; b &= b - 1) {
            uint32_t o = w * 64 + (uint32_t)__builtin_ctzll(b), row = chunk << SX_CHUNK_SHIFT | o;
            sx_locator loc =
                p->filter->reads_payload ? eng_reader_row(p->r, row)->payload : ENG_NO_BLOB;
            if (loc == ENG_NO_BLOB) {
                if (match_row(p, row, (struct sx_doc){NULL, 0, 0}))
                    eng_bits_set(out, o);
                continue;
            }
            rows[n] = row;
            locs[n++] = loc;
            if (n == DOC_BATCH) {
                rc = get_docs(p, locs, n, &d, err);
                n = 0;
            }
        }
    }
    return rc == 0 ? get_docs(p, locs, n, &d, err) : rc;
}

/* --- the plan ----------------------------------------------------------------------------------
 */

int eng_plan_create(struct eng_shard *s,
                    const struct eng_reader *r,
                    const struct sx_filter *f,
                    struct sx_arena *arena,
                    struct eng_plan **out,
                    struct sx_err *err)
{
    struct eng_plan *p = sx_arena_zalloc(arena, sizeof(*p));
    struct eng_schemas schemas = eng_schema_lookup(s->eng, r->v->schema);
    if (!p)
        return sx_err_set(err, SX_ENOMEM, "out of memory");
    p->s = s;
    p->r = r;
    p->arena = arena;
    p->n_chunks = r->v->n_chunks;
    int rc = eng_filter_compile(s->eng->mem, f, &schemas, arena, &p->filter, err);
    if (rc != 0)
        return rc;
    eng_match_scratch_init(&p->scratch, s->eng->mem);
    *out = p;
    return 0;
}

void eng_plan_destroy(struct eng_plan *p)
{
    if (p)
        eng_match_scratch_fini(&p->scratch);
}

const struct eng_filter *eng_plan_filter(const struct eng_plan *p)
{
    return p->filter;
}

int eng_plan_chunk(struct eng_plan *p, uint32_t chunk, struct eng_bits *out, struct sx_err *err)
{
    struct eng_bits visible;
    eng_reader_visible(p->r, chunk, &visible);
    if (p->filter->root->kind == ENG_NODE_TRUE) {
        *out = visible;
        return 0;
    }
    struct tri *t = bits_any(&visible) ? tri_get(p) : NULL;
    int rc = 0;
    memset(out, 0, sizeof(*out));
    if (t) {
        eval(p, p->filter->root, chunk, t);
        for (uint32_t i = 0; i < ENG_BITS_WORDS; i++) {
            out->w[i] = t->yes.w[i] & visible.w[i];
            t->maybe.w[i] &= visible.w[i];
        }
        rc = look(p, chunk, &t->maybe, out, err);
        tri_put(p, t);
    }
    return failed(p, rc, err);
}

int eng_plan_row(struct eng_plan *p, uint32_t row, struct sx_err *err)
{
    uint32_t chunk = row >> SX_CHUNK_SHIFT, o = row & (SX_CHUNK_ROWS - 1);
    struct eng_bits out;
    if (p->filter->root->kind == ENG_NODE_TRUE)
        return 1;
    if (!p->chunks)
        p->chunks = sx_arena_zalloc(p->arena, (p->n_chunks + 1ull) * sizeof(*p->chunks));
    if (!p->chunks || chunk >= p->n_chunks)
        return sx_err_set(err, SX_ENOMEM, "out of memory");
    struct tri *t = p->chunks[chunk].t;
    if (!t) {
        t = p->chunks[chunk].t = tri_get(p);
        if (!t)
            return sx_err_set(err, SX_ENOMEM, "out of memory");
        eval(p, p->filter->root, chunk, t);
    }
    if (eng_bits_get(&t->yes, o))
        return 1;
    if (!eng_bits_get(&t->maybe, o))
        return p->no_memory ? failed(p, 0, err) : 0;
    sx_locator loc = p->filter->reads_payload ? eng_reader_row(p->r, row)->payload : ENG_NO_BLOB;
    struct docs d = {p, &row, &out};
    out.w[o >> 6] = 0;
    int rc = 0;
    if (loc == ENG_NO_BLOB)
        return match_row(p, row, (struct sx_doc){NULL, 0, 0});
    rc = failed(p, get_docs(p, &loc, 1, &d, err), err);
    return rc != 0 ? rc : eng_bits_get(&out, o);
}

int eng_plan_rows(
    struct eng_plan *p, uint32_t first, uint32_t **rows, uint32_t *n, struct sx_err *err)
{
    struct eng_bits bits;
    uint64_t cap = 0;
    *rows = NULL;
    *n = 0;
    for (uint32_t c = first >> SX_CHUNK_SHIFT; c < p->n_chunks; c++) {
        int rc = eng_plan_chunk(p, c, &bits, err);
        if (rc != 0)
            return rc;
        uint32_t more = bits_count(&bits);
        if (*n + (uint64_t)more > cap) {
            uint64_t next = cap * 2 > *n + (uint64_t)more ? cap * 2 : *n + (uint64_t)more;
            *rows = sx_arena_resize(p->arena, *rows, cap * 4, next * 4);
            cap = next;
            if (!*rows)
                return sx_err_set(err, SX_ENOMEM, "out of memory");
        }
        for (uint32_t w = 0; w < ENG_BITS_WORDS; w++) {
            for (uint64_t b = bits.w[w]; b; b &= b - 1) {
                uint32_t row = c << SX_CHUNK_SHIFT | (w * 64 + (uint32_t)__builtin_ctzll(b));
                if (row >= first)
                    (*rows)[(*n)++] = row;
            }
        }
    }
    return 0;
}

int eng_plan_count(struct eng_plan *p, uint64_t *n, struct sx_err *err)
{
    struct eng_bits bits;
    *n = 0;
    if (p->filter->root->kind == ENG_NODE_TRUE) {
        *n = eng_reader_points(p->r);
        return 0;
    }
    for (uint32_t c = 0; c < p->n_chunks; c++) {
        int rc = eng_plan_chunk(p, c, &bits, err);
        if (rc != 0)
            return rc;
        *n += bits_count(&bits);
    }
    return 0;
}

/* --- cost --------------------------------------------------------------------------------------
 */

#define CHUNK_NS 12000u /* an indexed condition on a chunk */
#define DOC_NS   400u   /* one document */

/* Which documents a node leaves to be read: none, those of the rows that its indexes let through,
 * or all. Adds what its conditions cost a chunk. */
enum { DOCS_NONE = 0, DOCS_SOME, DOCS_ALL };

static int reads_documents(const struct eng_filter_node *n, uint64_t *chunk_ns)
{
    int most = DOCS_NONE, least = DOCS_ALL;
    *chunk_ns += 1000;
    if (n->kind == ENG_NODE_LEAF) {
        const struct eng_leaf *l = n->leaf;
        int is_fast =
            l->kind == ENG_LEAF_HAS_ID || l->kind == ENG_LEAF_HAS_VECTOR ||
            (l->mode == ENG_LEAF_INDEXED && l->schema->field && eng_field_answers(l->schema, l));
        *chunk_ns += l->kind == ENG_LEAF_HAS_ID ? 200 : CHUNK_NS;
        return is_fast ? DOCS_NONE : DOCS_ALL;
    }
    for (uint32_t i = 0; i < n->n; i++) {
        int one = reads_documents(n->kids[i], chunk_ns);
        most = one > most ? one : most;
        least = one < least ? one : least;
    }
    if (n->kind == ENG_NODE_AND && least < DOCS_ALL && most != DOCS_NONE)
        return DOCS_SOME;
    return most;
}

/* Documents read to find all matching rows. */
static uint64_t documents(const struct eng_plan *p, int docs)
{
    struct eng_estimate e;
    if (docs != DOCS_SOME)
        return docs == DOCS_ALL ? p->r->v->n_live : 0;
    eng_plan_estimate(p, &e);
    return e.max;
}

uint64_t eng_plan_cost(const struct eng_plan *p)
{
    uint64_t chunk_ns = 2000;
    if (p->filter->root->kind == ENG_NODE_TRUE)
        return p->n_chunks * 2000ull;
    int docs = reads_documents(p->filter->root, &chunk_ns);
    return p->n_chunks * chunk_ns + documents(p, docs) * DOC_NS;
}

uint64_t eng_plan_cost_row(const struct eng_plan *p, uint64_t n)
{
    uint64_t chunk_ns = 2000;
    int docs = reads_documents(p->filter->root, &chunk_ns);
    uint64_t most = documents(p, docs);
    return p->n_chunks * chunk_ns + (n < most ? n : most) * (DOC_NS + 200);
}

void eng_plan_estimate(const struct eng_plan *p, struct eng_estimate *out)
{
    eng_estimate_node(p->r, p->filter->root, eng_reader_points(p->r), out);
}
