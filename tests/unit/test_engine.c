/* The engine through its own door: visibility while points are replaced, restart with and without a
 * clean stop, numbering of operations, failed operations. */
/* needs: plugins/engine/ plugins/distance-basic/ plugins/index-flat/ plugins/storage-mmap/
 * needs: plugins/storage-ram/ plugins/storage-common/ kernel/ */
#include <sys/stat.h>

#include "engine_fixture.h"

#define DIM  8u
#define IDS  64u
#define BODY "{\"vectors\":{\"size\":8,\"distance\":\"Dot\"}}"

/* Every component of a point's vector is its round, so a torn or mixed vector shows. */
static void upsert_into(struct fixture *f,
                        struct call *c,
                        const char *collection,
                        uint64_t first,
                        uint32_t n,
                        float round,
                        int wait)
{
    call_init(c, SX_OP_POINTS_UPSERT, collection);
    struct sx_point_in *p = sx_arena_zalloc(&c->arena, n * sizeof(*p));
    struct sx_vec_in *v = sx_arena_zalloc(&c->arena, n * sizeof(*v));
    struct sx_args_upsert *a = sx_arena_zalloc(&c->arena, sizeof(*a));
    for (uint32_t i = 0; i < n; i++) {
        float *d = sx_arena_alloc_aligned(&c->arena, DIM * sizeof(float), 64);
        for (uint32_t k = 0; k < DIM; k++)
            d[k] = round;
        v[i] = (struct sx_vec_in){
            .kind = SX_VEC_DENSE, .dim = DIM, .rows = 1, .data = d, .name = {"", 0, 0}};
        p[i] = (struct sx_point_in){
            .id = {0, first + i, SX_ID_NUM, 0}, .n_vectors = 1, .vectors = &v[i]};
    }
    a->n = n;
    a->points = p;
    c->op.args = a;
    c->op.flags = wait ? SX_OP_WAIT : 0;
    assert_int_equal(f->ops->submit(f->eng->self, &c->op), 0);
}

static void
upsert(struct fixture *f, struct call *c, uint64_t first, uint32_t n, float round, int wait)
{
    upsert_into(f, c, "c", first, n, round, wait);
}

static uint64_t count_of(struct fixture *f, struct call *c, const char *collection)
{
    call_init(c, SX_OP_COUNT, collection);
    struct sx_args_count *a = sx_arena_zalloc(&c->arena, sizeof(*a));
    c->op.args = a;
    run_op(f, c);
    assert_int_equal(c->reply.code, 0);
    return c->reply.u.count;
}

static void scroll(struct fixture *f, struct call *c, uint64_t limit)
{
    call_init(c, SX_OP_SCROLL, "c");
    struct sx_args_scroll *a = sx_arena_zalloc(&c->arena, sizeof(*a));
    a->limit = limit;
    a->vectors.mode = SX_SEL_ALL;
    c->op.args = a;
    assert_int_equal(f->ops->submit(f->eng->self, &c->op), 0);
}

static void query(struct fixture *f, struct call *c, uint64_t limit)
{
    static const float ones[DIM] = {1, 1, 1, 1, 1, 1, 1, 1};
    call_init(c, SX_OP_QUERY, "c");
    struct sx_query *q = sx_arena_zalloc(&c->arena, sizeof(*q));
    struct sx_args_query *a = sx_arena_zalloc(&c->arena, sizeof(*a));
    q->kind = SX_Q_NEAREST;
    q->using_name = (struct sx_str){"", 0, 0};
    q->vector = (struct sx_vec_in){
        .kind = SX_VEC_DENSE, .dim = DIM, .rows = 1, .data = ones, .name = {"", 0, 0}};
    q->limit = limit;
    a->n = 1;
    a->queries = q;
    c->op.args = a;
    assert_int_equal(f->ops->submit(f->eng->self, &c->op), 0);
}

/* Each of the ids exactly once, each vector of one round. */
static void check_all(const struct sx_record_list *l, int with_vectors)
{
    uint64_t seen = 0;
    assert_int_equal(l->n, IDS);
    for (uint32_t i = 0; i < l->n; i++) {
        uint64_t id = l->records[i].id.lo;
        assert_true(id < IDS && !(seen >> id & 1));
        seen |= 1ull << id;
        if (with_vectors) {
            assert_int_equal(l->records[i].n_vectors, 1);
            for (uint32_t k = 1; k < DIM; k++)
                assert_true(l->records[i].vectors[0].data[k] == l->records[i].vectors[0].data[0]);
        }
    }
}

static void check_scroll(struct call *c, const struct sx_reply *r)
{
    (void)c;
    assert_int_equal(r->code, 0);
    check_all(&r->u.records.list, 1);
}

static void check_query(struct call *c, const struct sx_reply *r)
{
    (void)c;
    assert_int_equal(r->code, 0);
    check_all(&r->u.scored.lists[0], 0);
}

/* While writers replace all points again and again, every reader finds each point exactly once. */
static void replaced_under_readers(const char *rows_kind)
{
    enum { FLIGHT = 6, ROUNDS = 300 };
    struct fixture f;
    struct call w[FLIGHT], r[FLIGHT];
    fx_dir(&f);
    fx_start(&f, rows_kind);
    assert_int_equal(create_collection(&f, "c", BODY), 0);
    upsert(&f, &w[0], 0, IDS, 1, 1);
    call_wait(&w[0]);
    assert_int_equal(w[0].reply.code, 0);
    assert_int_equal(w[0].reply.u.update.op_id, 1);
    assert_int_equal(w[0].reply.u.update.status, SX_UPDATE_COMPLETED);
    call_fini(&w[0]);
    for (uint32_t round = 0; round < ROUNDS; round++) {
        for (uint32_t i = 0; i < FLIGHT; i++) {
            uint32_t first = (round * 7 + i * 11) % IDS, n = 1 + (round + i) % (IDS - first);
            upsert(&f, &w[i], first, n, (float)round, i == 0);
            if (i & 1)
                query(&f, &r[i], IDS + 10);
            else
                scroll(&f, &r[i], IDS + 10);
            r[i].then = i & 1 ? check_query : check_scroll;
        }
        for (uint32_t i = 0; i < FLIGHT; i++) {
            call_wait(&w[i]);
            call_wait(&r[i]);
            assert_int_equal(w[i].reply.code, 0);
            call_fini(&w[i]);
            call_fini(&r[i]);
        }
    }
    fx_stop(&f, 1);
    fx_remove(&f);
}

static void test_replaced_mmap(void **state)
{
    (void)state;
    replaced_under_readers("mmap");
}

static void test_replaced_ram(void **state)
{
    (void)state;
    replaced_under_readers("ram");
}

static void delete_ids(struct fixture *f, uint64_t first, uint32_t n)
{
    struct call c;
    call_init(&c, SX_OP_POINTS_DELETE, "c");
    struct sx_args_points *a = sx_arena_zalloc(&c.arena, sizeof(*a));
    struct sx_id *ids = sx_arena_zalloc(&c.arena, n * sizeof(*ids));
    for (uint32_t i = 0; i < n; i++)
        ids[i].lo = first + i;
    a->points = (struct sx_points){1, n, ids, NULL};
    c.op.args = a;
    c.op.flags = SX_OP_WAIT;
    run_op(f, &c);
    assert_int_equal(c.reply.code, 0);
    call_fini(&c);
}

static void expect(struct fixture *f, uint32_t n, uint64_t first_id, float value, uint64_t version)
{
    struct call c;
    scroll(f, &c, 1000);
    call_wait(&c);
    assert_int_equal(c.reply.code, 0);
    assert_int_equal(c.reply.u.records.list.n, n);
    const struct sx_record *r = c.reply.u.records.list.records;
    assert_int_equal(r[0].id.lo, first_id);
    assert_true(r[0].vectors[0].data[0] == value);
    assert_int_equal(r[0].version, version);
    call_fini(&c);
}

/* State, versions and numbering survive a clean stop and a stop without one. */
static void test_restart(void **state)
{
    (void)state;
    struct fixture f;
    struct call c;
    fx_dir(&f);
    fx_start(&f, "mmap");
    assert_int_equal(create_collection(&f, "c", BODY), 0);
    upsert(&f, &c, 0, 20, 1, 1); /* 1 */
    call_wait(&c);
    call_fini(&c);
    delete_ids(&f, 0, 5);       /* 2 */
    upsert(&f, &c, 5, 1, 7, 1); /* 3 */
    call_wait(&c);
    call_fini(&c);
    for (int clean = 0; clean < 3; clean++) {
        expect(&f, 15, 5, 7, 3);
        fx_stop(&f, clean & 1);
        fx_start(&f, clean == 1 ? "ram" : "mmap");
    }
    expect(&f, 15, 5, 7, 3);
    upsert(&f, &c, 0, 1, 9, 1);
    call_wait(&c);
    assert_int_equal(c.reply.u.update.op_id, 4);
    call_fini(&c);
    expect(&f, 16, 0, 9, 4);
    fx_stop(&f, 1);
    fx_remove(&f);
}

/* An operation that fails when applied takes a number and changes nothing; who waits is told. */
static void test_failed_takes_number(void **state)
{
    (void)state;
    struct fixture f;
    struct call c;
    fx_dir(&f);
    fx_start(&f, "mmap");
    assert_int_equal(create_collection(&f, "c", BODY), 0);
    for (int wait = 0; wait < 2; wait++) {
        call_init(&c, SX_OP_POINTS_UPSERT, "c");
        float d[DIM] = {0};
        struct sx_vec_in v = {
            .kind = SX_VEC_DENSE, .dim = DIM, .rows = 1, .data = d, .name = {"nope", 4, 0}};
        struct sx_point_in p = {.id = {0, 1, SX_ID_NUM, 0}, .n_vectors = 1, .vectors = &v};
        struct sx_args_upsert a = {.n = 1, .points = &p};
        c.op.args = &a;
        c.op.flags = wait ? SX_OP_WAIT : 0;
        run_op(&f, &c);
        if (wait) {
            assert_int_equal(c.reply.code, SX_EINPUT);
        } else {
            assert_int_equal(c.reply.code, 0);
            assert_int_equal(c.reply.u.update.status, SX_UPDATE_ACKNOWLEDGED);
            assert_int_equal(c.reply.u.update.op_id, 1);
        }
        call_fini(&c);
    }
    fx_stop(&f, 0);
    fx_start(&f, "mmap");
    upsert(&f, &c, 3, 1, 2, 1);
    call_wait(&c);
    assert_int_equal(c.reply.u.update.op_id, 3);
    call_fini(&c);
    expect(&f, 1, 3, 2, 3);
    fx_stop(&f, 1);
    fx_remove(&f);
}

/* More collections in use than may be open: shards are closed and opened again under traffic, and
 * nothing is lost or seen twice. */
static void test_closed_when_idle(void **state)
{
    (void)state;
    enum { COLLECTIONS = 12, OPEN = 4, ROUNDS = 150, FLIGHT = 5 };
    struct fixture f;
    struct call c[FLIGHT];
    char name[FLIGHT][16];
    uint32_t rounds_of[COLLECTIONS] = {0}, seed = 1;
    fx_dir(&f);
    f.max_open = OPEN;
    fx_start(&f, "mmap");
    struct eng *e = f.eng->self;
    for (uint32_t i = 0; i < COLLECTIONS; i++) {
        snprintf(name[0], sizeof(name[0]), "c%u", i);
        assert_int_equal(create_collection(&f, name[0], BODY), 0);
    }
    for (uint32_t round = 0; round < ROUNDS; round++) {
        uint32_t which[FLIGHT];
        for (uint32_t i = 0; i < FLIGHT; i++) {
            seed = seed * 1664525u + 1013904223u;
            which[i] = (seed >> 16) % COLLECTIONS;
            snprintf(name[i], sizeof(name[i]), "c%u", which[i]);
            /* Each operation adds one point, so the count tells how many were applied. */
            upsert_into(&f, &c[i], name[i], 1000 + rounds_of[which[i]]++, 1, (float)round, i & 1);
        }
        for (uint32_t i = 0; i < FLIGHT; i++) {
            call_wait(&c[i]);
            assert_int_equal(c[i].reply.code, 0);
            call_fini(&c[i]);
        }
    }
    /* Closing happens behind the traffic; it catches up as soon as shards are at rest. */
    for (uint32_t i = 0; i < 400 && atomic_load(&e->n_open) > OPEN; i++) {
        struct call one;
        snprintf(name[0], sizeof(name[0]), "c%u", i % COLLECTIONS);
        count_of(&f, &one, name[0]);
        sx_loops_turn(5);
        call_fini(&one);
    }
    assert_true(atomic_load(&e->n_open) <= OPEN + 1);
    for (int restart = 0; restart < 2; restart++) {
        for (uint32_t i = 0; i < COLLECTIONS; i++) {
            struct call one;
            snprintf(name[0], sizeof(name[0]), "c%u", i);
            assert_int_equal(count_of(&f, &one, name[0]), rounds_of[i]);
            call_fini(&one);
        }
        fx_stop(&f, 0);
        if (restart == 0)
            fx_start(&f, "mmap");
    }
    fx_remove(&f);
}

/* sx.io with a disk that is full from the n-th write on. */
static struct sx_io fault_io;
static const struct sx_io *real_io;
static _Atomic int64_t writes_left;

static int is_full(struct sx_err *err)
{
    int64_t left = atomic_load(&writes_left);
    while (left > 0 && !atomic_compare_exchange_weak(&writes_left, &left, left - 1))
        ;
    return left > 0 ? 0 : sx_err_set(err, SX_ENOSPACE, "No space left on device: write");
}

static int
full_pwrite(struct sx_file *f, const void *p, uint64_t n, uint64_t off, struct sx_err *err)
{
    int rc = is_full(err);
    return rc ? rc : real_io->pwrite(f, p, n, off, err);
}

static int full_allocate(struct sx_file *f, uint64_t off, uint64_t n, struct sx_err *err)
{
    int rc = is_full(err);
    return rc ? rc : real_io->allocate(f, off, n, err);
}

static void full_disk(int64_t n)
{
    if (!real_io) {
        real_io = sx_io_table();
        fault_io = *real_io;
        fault_io.pwrite = full_pwrite;
        fault_io.allocate = full_allocate;
    }
    atomic_store(&writes_left, n);
}

/* Wherever in an operation the disk becomes full: the operation is refused whole, reads go on, and
 * with room again the next one succeeds, here and after a restart. */
static void test_full_disk(void **state)
{
    (void)state;
    int refused = 0, accepted = 0;
    for (int64_t n = 0; n < 40 && accepted < 3; n++) {
        struct fixture f;
        struct call c;
        fx_dir(&f);
        full_disk(INT64_MAX);
        fx_start_io(&f, "mmap", &fault_io);
        f.conf.checkpoint_idle_ms = 1000000; /* no write of its own in between */
        assert_int_equal(create_collection(&f, "c", BODY), 0);
        upsert(&f, &c, 10, 3, 1, 1);
        call_wait(&c);
        assert_int_equal(c.reply.code, 0);
        call_fini(&c);
        full_disk(n);
        upsert(&f, &c, 11, 4000, 2, 1); /* grows every file */
        call_wait(&c);
        int ok = c.reply.code == 0;
        if (!ok)
            assert_int_equal(c.reply.code, SX_ENOSPACE);
        call_fini(&c);
        refused += !ok;
        accepted += ok;
        for (int restart = 0; restart < 2; restart++) {
            full_disk(restart ? INT64_MAX : 0);
            scroll(&f, &c, 10000);
            call_wait(&c);
            assert_int_equal(c.reply.code, 0);
            assert_int_equal(c.reply.u.records.list.n, ok ? 4001 : 3);
            assert_true(c.reply.u.records.list.records[1].vectors[0].data[0] == (ok ? 2.0f : 1.0f));
            call_fini(&c);
            if (restart == 0) {
                fx_stop(&f, 0);
                full_disk(INT64_MAX);
                fx_start_io(&f, "mmap", &fault_io);
            }
        }
        /* Once more without a restart in between. */
        full_disk(n / 2);
        upsert(&f, &c, 20000, 9000, 4, 1);
        call_wait(&c);
        int second = c.reply.code == 0;
        call_fini(&c);
        full_disk(INT64_MAX);
        upsert(&f, &c, 11, 1, 3, 1);
        call_wait(&c);
        assert_int_equal(c.reply.code, 0);
        assert_int_equal(c.reply.u.update.op_id, 2 + ok + second);
        call_fini(&c);
        for (int restart = 0; restart < 2; restart++) {
            scroll(&f, &c, 20000);
            call_wait(&c);
            const struct sx_record_list *l = &c.reply.u.records.list;
            assert_int_equal(l->n, (ok ? 4001u : 3u) + (second ? 9000u : 0));
            assert_int_equal(l->records[1].id.lo, 11);
            assert_true(l->records[0].vectors[0].data[0] == 1.0f);
            assert_true(l->records[1].vectors[0].data[0] == 3.0f);
            assert_true(l->records[2].vectors[0].data[0] == (ok ? 2.0f : 1.0f));
            uint32_t live = l->n;
            call_fini(&c);
            query(&f, &c, 5);
            call_wait(&c);
            assert_int_equal(c.reply.u.scored.lists[0].n, 5 < live ? 5 : live);
            assert_true(c.reply.u.scored.lists[0].records[0].score == (second ? 32.0f : 24.0f));
            call_fini(&c);
            fx_stop(&f, restart == 0);
            if (restart == 0)
                fx_start_io(&f, "mmap", &fault_io);
        }
        fx_remove(&f);
    }
    assert_true(refused > 5 && accepted > 0);
}

/* The same with bytes: what is written takes them, cutting the reserve gives some back, and nothing
 * else does. */
static _Atomic int64_t bytes_left;
#define RESERVE (4u << 20)

static int takes(int64_t n, struct sx_err *err)
{
    if (atomic_fetch_sub(&bytes_left, n) >= n)
        return 0;
    atomic_fetch_add(&bytes_left, n);
    return sx_err_set(err, SX_ENOSPACE, "No space left on device");
}

static int
small_pwrite(struct sx_file *f, const void *p, uint64_t n, uint64_t off, struct sx_err *err)
{
    int rc = takes((int64_t)n, err);
    return rc ? rc : sx_io_table()->pwrite(f, p, n, off, err);
}

static int small_allocate(struct sx_file *f, uint64_t off, uint64_t n, struct sx_err *err)
{
    int rc = takes((int64_t)n, err);
    return rc ? rc : sx_io_table()->allocate(f, off, n, err);
}

static int small_truncate(struct sx_file *f, uint64_t n, struct sx_err *err)
{
    int64_t length = sx_io_table()->length(f, NULL);
    if (length >= (int64_t)RESERVE && (int64_t)n < length)
        atomic_fetch_add(&bytes_left, length - (int64_t)n);
    return sx_io_table()->truncate(f, n, err);
}

static int delete_points(struct fixture *f, uint64_t first, uint32_t n)
{
    struct call c;
    call_init(&c, SX_OP_POINTS_DELETE, "c");
    struct sx_id *ids = sx_arena_zalloc(&c.arena, n * sizeof(*ids));
    struct sx_args_points *a = sx_arena_zalloc(&c.arena, sizeof(*a));
    for (uint32_t i = 0; i < n; i++)
        ids[i].lo = first + i;
    a->points = (struct sx_points){1, n, ids, NULL};
    c.op.args = a;
    c.op.flags = SX_OP_WAIT;
    run_op(f, &c);
    int code = c.reply.code;
    call_fini(&c);
    return code;
}

static int upsert_code(struct fixture *f, uint64_t first)
{
    struct call c;
    upsert(f, &c, first, 1, 1, 1);
    call_wait(&c);
    int code = c.reply.code;
    call_fini(&c);
    return code;
}

static uint64_t manifest_inode(const struct fixture *f)
{
    char path[160];
    struct stat st;
    snprintf(path, sizeof(path), "%s/collections/c/0/manifest", f->path);
    assert_int_equal(stat(path, &st), 0);
    return st.st_ino;
}

/* What makes room works on a full disk, and what takes room does not eat the reserve. */
static void test_reserve(void **state)
{
    struct fixture f;
    struct call c;
    struct sx_io io = *sx_io_table();
    (void)state;
    io.pwrite = small_pwrite;
    io.allocate = small_allocate;
    io.truncate = small_truncate;
    fx_dir(&f);
    atomic_store(&bytes_left, INT64_MAX / 2);
    fx_start_io(&f, "mmap", &io);
    f.conf.checkpoint_idle_ms = 1000000;
    assert_int_equal(create_collection(&f, "c", BODY), 0);
    assert_int_equal(create_collection(&f, "d", BODY), 0);
    upsert(&f, &c, 0, 3000, 1, 1);
    call_wait(&c);
    assert_int_equal(c.reply.code, 0);
    call_fini(&c);
    uint64_t inode = manifest_inode(&f);
    atomic_store(&bytes_left, 0);
    assert_int_equal(upsert_code(&f, 5000), SX_ENOSPACE);
    assert_true(atomic_load(&bytes_left) < RESERVE / 2);
    for (uint32_t i = 0; i < 20; i++)
        assert_int_equal(delete_points(&f, i * 100, 100), 0);
    assert_true(atomic_load(&bytes_left) > RESERVE / 2); /* there is room, but not for this: */
    assert_int_equal(upsert_code(&f, 5000), SX_ENOSPACE);
    assert_int_equal(create_collection(&f, "e", BODY), SX_ENOSPACE);
    call_init(&c, SX_OP_COLLECTION_DELETE, "d");
    run_op(&f, &c);
    assert_int_equal(c.reply.code, 0);
    call_fini(&c);
    fx_stop(&f, 1); /* with a checkpoint */
    assert_true(manifest_inode(&f) != inode);
    fx_start_io(&f, "mmap", &io);
    f.conf.checkpoint_idle_ms = 1000000;
    assert_int_equal(count_of(&f, &c, "c"), 1000);
    call_fini(&c);
    assert_int_equal(upsert_code(&f, 5000), SX_ENOSPACE);
    atomic_store(&bytes_left, 64 << 20);
    assert_int_equal(upsert_code(&f, 5000), 0);
    assert_int_equal(create_collection(&f, "e", BODY), 0);
    assert_int_equal(count_of(&f, &c, "c"), 1001);
    call_fini(&c);
    /* And once more: the reserve is whole again. A checkpoint is the first to need it. */
    inode = manifest_inode(&f);
    atomic_store(&bytes_left, 0);
    fx_stop(&f, 1);
    assert_true(manifest_inode(&f) != inode);
    fx_remove(&f);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_restart),          cmocka_unit_test(test_failed_takes_number),
        cmocka_unit_test(test_closed_when_idle), cmocka_unit_test(test_full_disk),
        cmocka_unit_test(test_reserve),          cmocka_unit_test(test_replaced_mmap),
        cmocka_unit_test(test_replaced_ram),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
