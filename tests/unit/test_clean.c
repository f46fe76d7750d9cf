/* Space comes back: a collection with payload indexes and vectors of every kind is overwritten
 * until its row numbers have come round several times, under readers, with restarts in between, and
 * compared with a model all the while. Numbers come round in a build with SX_SMALL_CHUNKS (64 rows
 * a chunk, 96 chunks); in any other build the same program checks the same content over whole
 * chunks. */
/* needs: plugins/engine/ plugins/distance-basic/ plugins/index-flat/ plugins/storage-mmap/
 * needs: plugins/storage-ram/ plugins/storage-common/ kernel/ */
#include <time.h>

#include "engine/clean_units.h"
#include "engine_fixture.h"

#ifdef SX_SMALL_CHUNKS
#define IDS      700u
#define BATCH    48u
#define ROUNDS   1200u
#define RESTARTS 12u
#define TURNS    4u /* of all row numbers there are */
#else
#define IDS      40000u
#define BATCH    5000u
#define ROUNDS   40u
#define RESTARTS 2u
#define TURNS    0u
#endif
#define DIM 4u
#define BODY                                                                                       \
    "{\"vectors\":{\"a\":{\"size\":4,\"distance\":\"Dot\"},\"m\":{\"size\":4,\"distance\":"        \
    "\"Dot\",\"multivector_config\":{\"comparator\":\"max_sim\"}}},\"sparse_vectors\":{\"s\":{}}}"

static uint32_t model[IDS];    /* version of the vectors, 0 = no such point */
static uint32_t payloads[IDS]; /* version of the payload */
static uint32_t n_points, clock_now;
static uint64_t rng, written;

static uint32_t random_below(uint32_t n)
{
    rng ^= rng << 13;
    rng ^= rng >> 7;
    rng ^= rng << 17;
    return (uint32_t)((rng >> 20) % n);
}

#define KEYWORDS 7u

static struct sx_doc doc_of(struct sx_arena *arena, uint32_t version)
{
    struct sx_docb b;
    char word[8] = "k0";
    word[1] = (char)('0' + version % KEYWORDS);
    sx_docb_init(&b, sx_mem_libc(), 0);
    sx_docb_obj(&b);
    sx_docb_ckey(&b, "v");
    sx_docb_u64(&b, version);
    sx_docb_ckey(&b, "k");
    sx_docb_cstr(&b, word);
    sx_docb_close(&b);
    struct sx_doc d = sx_docb_end_arena(&b, arena);
    sx_docb_fini(&b);
    return d;
}

static float *filled(struct sx_arena *arena, uint32_t n, float x)
{
    float *d = sx_arena_alloc_aligned(arena, n * sizeof(float), 64);
    for (uint32_t k = 0; k < n; k++)
        d[k] = x;
    return d;
}

/* m has one to three rows, s one to four entries; now and then one of them is missing. */
static uint32_t
vectors_of(struct sx_arena *arena, uint32_t id, uint32_t version, struct sx_vec_in *v)
{
    float x = (float)version;
    uint32_t n = 1, *indices = sx_arena_alloc(arena, 4 * sizeof(*indices));
    v[0] = (struct sx_vec_in){.kind = SX_VEC_DENSE,
                              .dim = DIM,
                              .rows = 1,
                              .data = filled(arena, DIM, x),
                              .name = {"a", 1, 0}};
    if ((id + version) % 5)
        v[n++] = (struct sx_vec_in){.kind = SX_VEC_MULTI,
                                    .dim = DIM,
                                    .rows = 1 + (id + version) % 3,
                                    .data = filled(arena, DIM * (1 + (id + version) % 3), x),
                                    .name = {"m", 1, 0}};
    for (uint32_t i = 0; i < 4; i++)
        indices[i] = i * 7 + 1;
    if ((id + version) % 4)
        v[n++] = (struct sx_vec_in){.kind = SX_VEC_SPARSE,
                                    .dim = 1 + (id + version) % 4,
                                    .rows = 1,
                                    .data = filled(arena, 4, x),
                                    .indices = indices,
                                    .name = {"s", 1, 0}};
    return n;
}

static void submit(struct fixture *f, struct call *c)
{
    assert_int_equal(f->ops->submit(f->eng->self, &c->op), 0);
}

/* Again while all numbers are in use: readers hold what is to come back. */
static void upsert(struct fixture *f, uint32_t first, uint32_t n)
{
    struct call c;
    uint32_t version = ++clock_now;
    for (int tries = 0;; tries++) {
        call_init(&c, SX_OP_POINTS_UPSERT, "c");
        struct sx_point_in *p = sx_arena_zalloc(&c.arena, n * sizeof(*p));
        struct sx_args_upsert *a = sx_arena_zalloc(&c.arena, sizeof(*a));
        for (uint32_t i = 0; i < n; i++) {
            struct sx_vec_in *v = sx_arena_zalloc(&c.arena, 3 * sizeof(*v));
            uint32_t id = (first + i * 13) % IDS;
            p[i] = (struct sx_point_in){.id = {0, id, SX_ID_NUM, 0},
                                        .n_vectors = vectors_of(&c.arena, id, version, v),
                                        .vectors = v,
                                        .payload = doc_of(&c.arena, version)};
        }
        a->n = n;
        a->points = p;
        c.op.args = a;
        c.op.flags = clock_now % 3 == 0 ? SX_OP_WAIT : 0;
        submit(f, &c);
        call_wait(&c);
        int code = c.reply.code;
        if (code != 0 && code != SX_ENOSPACE)
            print_error("upsert: %d\n", code);
        call_fini(&c);
        if (code == 0)
            break;
        assert_int_equal(code, SX_ENOSPACE);
        assert_true(tries < 400);
        for (int k = 0; k < 5; k++)
            sx_loops_turn(5);
    }
    written += n;
    for (uint32_t i = 0; i < n; i++) {
        uint32_t id = (first + i * 13) % IDS;
        n_points += model[id] == 0;
        model[id] = payloads[id] = version;
    }
}

static void ids_op(struct fixture *f, uint32_t code, uint32_t first, uint32_t n)
{
    struct call c;
    uint32_t version = ++clock_now;
    for (int tries = 0;; tries++) {
        call_init(&c, code, "c");
        struct sx_id *ids = sx_arena_zalloc(&c.arena, n * sizeof(*ids));
        struct sx_args_payload *p = sx_arena_zalloc(&c.arena, sizeof(*p));
        struct sx_args_points *a = sx_arena_zalloc(&c.arena, sizeof(*a));
        uint32_t m = 0;
        for (uint32_t i = 0; i < n; i++) {
            if (model[(first + i) % IDS])
                ids[m++].lo = (first + i) % IDS;
        }
        a->points = p->points = (struct sx_points){1, m, ids, NULL};
        p->payload = doc_of(&c.arena, version);
        c.op.args = code == SX_OP_POINTS_DELETE ? (void *)a : (void *)p;
        if (m)
            submit(f, &c);
        else
            c.done = 1;
        call_wait(&c);
        int rc = c.reply.code;
        call_fini(&c);
        if (rc == 0)
            break;
        assert_int_equal(rc, SX_ENOSPACE);
        assert_true(tries < 400);
        for (int k = 0; k < 5; k++)
            sx_loops_turn(5);
    }
    for (uint32_t i = 0; i < n; i++) {
        uint32_t id = (first + i) % IDS;
        if (!model[id])
            continue;
        if (code == SX_OP_POINTS_DELETE) {
            n_points--;
            model[id] = 0;
        } else {
            payloads[id] = version;
            written++;
        }
    }
}

/* --- readers: every answer is whole ----------------------------------------------------------- */

static int check_record(const struct sx_record *r, int against_model)
{
    uint32_t id = (uint32_t)r->id.lo, version = 0, n_expected = 1;
    struct sx_doc_num v = sx_doc_num(sx_doc_get(r->payload, "v"));
    for (uint32_t i = 0; i < r->n_vectors; i++) {
        const struct sx_vec_out *o = &r->vectors[i];
        uint32_t n = o->kind == SX_VEC_SPARSE ? o->dim : o->dim * o->rows;
        if (i == 0)
            version = (uint32_t)o->data[0];
        for (uint32_t k = 0; k < n; k++) {
            if ((uint32_t)o->data[k] != version)
                return 0;
        }
        if (o->kind == SX_VEC_MULTI && o->rows != 1 + (id + version) % 3)
            return 0;
        if (o->kind == SX_VEC_SPARSE && o->dim != 1 + (id + version) % 4)
            return 0;
    }
    n_expected += (id + version) % 5 != 0;
    n_expected += (id + version) % 4 != 0;
    if (r->n_vectors != n_expected || id >= IDS || v.v.u < version)
        return 0;
    return !against_model || (version == model[id] && v.v.u == payloads[id]);
}

static void check_page(const struct sx_record_list *l, uint8_t *seen, int against_model)
{
    for (uint32_t i = 0; i < l->n; i++) {
        const struct sx_record *r = &l->records[i];
        if (!check_record(r, against_model))
            fail_msg("point %u: %u vectors, first %f, payload %llu; model %u, %u",
                     (unsigned)r->id.lo, r->n_vectors,
                     r->n_vectors ? (double)r->vectors[0].data[0] : 0.0,
                     (unsigned long long)sx_doc_num(sx_doc_get(r->payload, "v")).v.u,
                     model[r->id.lo % IDS], payloads[r->id.lo % IDS]);
        assert_false(seen[r->id.lo]);
        seen[r->id.lo] = 1;
    }
}

static struct sx_path path_of(struct sx_arena *arena, const char *name)
{
    struct sx_path p;
    assert_int_equal(sx_path_parse(arena, (struct sx_str){name, 1, 0}, &p, NULL), 0);
    return p;
}

/* Payloads from version `first` on, and (word < KEYWORDS) with that word. */
static const struct sx_filter *filter_of(struct sx_arena *arena, uint32_t first, uint32_t word)
{
    struct sx_filter *f = sx_arena_zalloc(arena, sizeof(*f));
    struct sx_cond *c = sx_arena_zalloc(arena, 2 * sizeof(*c));
    char *text = sx_arena_alloc(arena, 2);
    c[0].kind = c[1].kind = SX_COND_FIELD;
    c[0].key = path_of(arena, "v");
    c[0].range.kind = SX_RANGE_NUM;
    c[0].range.has = SX_BOUND_GTE;
    c[0].range.gte = first;
    c[1].key = path_of(arena, "k");
    c[1].match.kind = SX_MATCH_STR;
    text[0] = 'k';
    text[1] = (char)('0' + word);
    c[1].match.str = (struct sx_str){text, 2, 0};
    f->must = c;
    f->n_must = word < KEYWORDS ? 2 : 1;
    return f;
}

static void scroll(struct fixture *f, struct call *c, uint64_t limit, int filtered)
{
    call_init(c, SX_OP_SCROLL, "c");
    struct sx_args_scroll *a = sx_arena_zalloc(&c->arena, sizeof(*a));
    a->limit = limit;
    if (filtered) /* all points, found by an index */
        a->filter = filter_of(&c->arena, 0, KEYWORDS);
    a->vectors.mode = a->payload.mode = SX_SEL_ALL;
    c->op.args = a;
    submit(f, c);
}

/* What indexes find, in the order of versions: exactly what the model has. */
static void check_found(struct fixture *f, uint32_t first, uint32_t word, int ordered)
{
    struct call c;
    static uint8_t seen[IDS];
    uint32_t n = 0;
    for (uint32_t i = 0; i < IDS; i++)
        n += model[i] && payloads[i] >= first &&
             (word >= KEYWORDS || payloads[i] % KEYWORDS == word);
    memset(seen, 0, sizeof(seen));
    call_init(&c, SX_OP_SCROLL, "c");
    struct sx_args_scroll *a = sx_arena_zalloc(&c.arena, sizeof(*a));
    struct sx_order_by *by = sx_arena_zalloc(&c.arena, sizeof(*by));
    a->limit = IDS + 10;
    a->vectors.mode = a->payload.mode = SX_SEL_ALL;
    a->filter = filter_of(&c.arena, first, word);
    by->key = path_of(&c.arena, "v");
    a->order_by = ordered ? by : NULL;
    c.op.args = a;
    submit(f, &c);
    call_wait(&c);
    const struct sx_record_list *l = &c.reply.u.records.list;
    assert_int_equal(c.reply.code, 0);
    if (l->n != n)
        print_error("from %u word %u ordered %d\n", first, word, ordered);
    assert_int_equal(l->n, n);
    check_page(l, seen, 1);
    for (uint32_t i = 0; i < l->n; i++) {
        uint32_t id = (uint32_t)l->records[i].id.lo;
        assert_true(payloads[id] >= first);
        assert_true(word >= KEYWORDS || payloads[id] % KEYWORDS == word);
        assert_true(!ordered || i == 0 ||
                    payloads[id] >= payloads[(uint32_t)l->records[i - 1].id.lo]);
    }
    call_fini(&c);
}

static void check_all(struct fixture *f)
{
    struct call c;
    static uint8_t seen[IDS];
    memset(seen, 0, sizeof(seen));
    scroll(f, &c, IDS + 10, 0);
    call_wait(&c);
    assert_int_equal(c.reply.code, 0);
    assert_int_equal(c.reply.u.records.list.n, n_points);
    check_page(&c.reply.u.records.list, seen, 1);
    call_fini(&c);
    check_found(f, 0, KEYWORDS, 1);
    check_found(f, random_below(clock_now + 1), random_below(KEYWORDS + 1), 0);
    check_found(f, random_below(clock_now + 1), random_below(KEYWORDS + 1), 1);
}

static void index_op(struct fixture *f, uint32_t code, const char *name, const char *type)
{
    struct call c;
    struct sx_docb b;
    call_init(&c, code, "c");
    struct sx_args_field *a = sx_arena_zalloc(&c.arena, sizeof(*a));
    a->field = path_of(&c.arena, name);
    if (code == SX_OP_INDEX_CREATE) {
        sx_docb_init(&b, sx_mem_libc(), 0);
        sx_docb_obj(&b);
        sx_docb_ckey(&b, "type");
        sx_docb_cstr(&b, type);
        sx_docb_close(&b);
        a->schema = sx_docb_end_arena(&b, &c.arena);
        a->bare = 1;
        sx_docb_fini(&b);
    }
    c.op.args = a;
    c.op.flags = random_below(2) ? SX_OP_WAIT : 0;
    run_op(f, &c);
    assert_int_equal(c.reply.code, 0);
    call_fini(&c);
}

static uint32_t expected; /* points while only upserts of points that are there are under way */

static void scrolled(struct call *c, const struct sx_reply *r)
{
    static uint8_t seen[IDS];
    (void)c;
    assert_int_equal(r->code, 0);
    memset(seen, 0, sizeof(seen));
    assert_int_equal(r->u.records.list.n, expected);
    check_page(&r->u.records.list, seen, 0);
}

static void queried(struct call *c, const struct sx_reply *r)
{
    static uint8_t seen[IDS];
    const struct sx_record_list *l = &r->u.scored.lists[0];
    (void)c;
    assert_int_equal(r->code, 0);
    memset(seen, 0, sizeof(seen));
    assert_int_equal(l->n, expected);
    for (uint32_t i = 0; i < l->n; i++) {
        assert_false(seen[l->records[i].id.lo]);
        seen[l->records[i].id.lo] = 1;
    }
}

static void query(struct fixture *f, struct call *c)
{
    call_init(c, SX_OP_QUERY, "c");
    struct sx_query *q = sx_arena_zalloc(&c->arena, sizeof(*q));
    struct sx_args_query *a = sx_arena_zalloc(&c->arena, sizeof(*a));
    q->kind = SX_Q_NEAREST;
    q->using_name = (struct sx_str){"a", 1, 0};
    q->vector = (struct sx_vec_in){.kind = SX_VEC_DENSE,
                                   .dim = DIM,
                                   .rows = 1,
                                   .data = filled(&c->arena, DIM, 1),
                                   .name = {"", 0, 0}};
    q->limit = IDS + 10;
    a->n = 1;
    a->queries = q;
    c->op.args = a;
    submit(f, c);
}

static void test_overwritten(void **state)
{
    struct fixture f;
    struct call r[2];
    (void)state;
    rng = (uint64_t)time(NULL) * 2654435761u | 1;
    print_message("seed %llu\n", (unsigned long long)rng);
    fx_dir(&f);
    fx_start(&f, "mmap");
    assert_int_equal(create_collection(&f, "c", BODY), 0);
    index_op(&f, SX_OP_INDEX_CREATE, "v", "integer");
    index_op(&f, SX_OP_INDEX_CREATE, "k", "keyword");
    for (uint32_t i = 0; i < ROUNDS; i++) {
        uint32_t n = 1 + random_below(BATCH);
        int fills = i < IDS / BATCH + 20 || random_below(20) == 0;
        expected = n_points;
        if (!fills && n_points == IDS) { /* readers beside the writer */
            scroll(&f, &r[0], IDS + 10, random_below(2) == 0);
            r[0].then = scrolled;
            query(&f, &r[1]);
            r[1].then = queried;
            upsert(&f, random_below(IDS), n);
            for (uint32_t k = 0; k < 2; k++) {
                call_wait(&r[k]);
                call_fini(&r[k]);
            }
        } else {
            upsert(&f, random_below(IDS), n);
        }
        if (random_below(ROUNDS / 5) == 0) { /* built over rows whose numbers came back */
            index_op(&f, SX_OP_INDEX_DELETE, "k", NULL);
            index_op(&f, SX_OP_INDEX_CREATE, "k", "keyword");
        }
        if (random_below(25) == 0)
            check_found(&f, random_below(clock_now + 1), random_below(KEYWORDS + 1), 0);
        if (random_below(30) == 0)
            ids_op(&f, SX_OP_PAYLOAD_SET, random_below(IDS), n);
        if (random_below(60) == 0) {
            ids_op(&f, SX_OP_POINTS_DELETE, random_below(IDS), n);
            check_all(&f);
            if (random_below(2))
                for (uint32_t id = 0; n_points < IDS && id < IDS; id += BATCH)
                    upsert(&f, id, BATCH);
        }
        if (i % (ROUNDS / (RESTARTS + 1)) == ROUNDS / (RESTARTS + 1) - 1) {
            check_all(&f);
            for (uint32_t k = random_below(3) * 4; k > 0; k--) {
                if (k == 3) { /* built while rows move, and perhaps saved */
                    index_op(&f, SX_OP_INDEX_DELETE, "v", NULL);
                    index_op(&f, SX_OP_INDEX_CREATE, "v", "integer");
                }
                if (n_points == IDS)
                    upsert(&f, random_below(IDS), n);
                for (uint32_t turns = 0; turns < 3; turns++)
                    sx_loops_turn(2);
            }
            fx_stop(&f, random_below(3) == 0);
            fx_start(&f, "mmap");
            check_all(&f);
        }
        if (n_points < IDS && i > IDS / BATCH + 20)
            for (uint32_t id = 0; id < IDS; id++)
                if (!model[id])
                    upsert(&f, id, 1);
    }
    check_all(&f);
    print_message("%llu rows written\n", (unsigned long long)written);
    assert_true(written > (uint64_t)TURNS * ENG_CHUNKS_MAX * SX_CHUNK_ROWS);
    fx_stop(&f, 1);
    fx_start(&f, "mmap");
    check_all(&f);
    fx_stop(&f, 1);
    fx_remove(&f);
}

int main(void)
{
    const struct CMUnitTest tests[] = {cmocka_unit_test(test_overwritten)};
    return cmocka_run_group_tests(tests, NULL, NULL);
}
