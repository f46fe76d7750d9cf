/* Readers beside writers: no operation is ever seen by half, no point twice or in two versions, and
 * whatever a writer is stopped at, readers are answered.
 *
 * Eight loops, each with a writer and a reader, over a pool of four. A writer overwrites a whole
 * group of points with one operation that gives them a number never used before, the generation: in
 * the payload (indexed as "g", not indexed as "u", as a word "s"), and, when vectors are written,
 * in every component. Readers count, scroll, filter, facet and search, and look at whole groups.
 *
 * One file for both halves, writers that run and writers that stand still: what is read and what
 * must be seen is the same. SEED repeats the choices of a run; the interleaving is the machine's.
 */
/* needs: plugins/engine/ plugins/distance-basic/ plugins/index-flat/ plugins/storage-mmap/
 * needs: plugins/storage-ram/ plugins/storage-common/ kernel/ */
#include <pthread.h>
#include <signal.h>
#include <stdatomic.h>

#include "kernel/exec.h"
#include "kernel/loop.h"

/* The fixture starts one loop and two pool threads; here the threads are the point. */
enum { LOOPS = 8, POOL = 4 };
#define sx_loops_init(n, err)         sx_loops_init(LOOPS, err)
#define sx_exec_init(pool, n, b, err) sx_exec_init(POOL, LOOPS, b, err)
#include "engine_fixture.h"
#undef sx_loops_init
#undef sx_exec_init

#include "filter_json.h"

enum { DIM = 8, GROUPS = 8, GROUP = 24, STABLE = 6 }; /* groups from STABLE on are deleted, too */
#define BODY "{\"vectors\":{\"size\":8,\"distance\":\"Dot\",\"on_disk\":true}}"

static uint64_t seed;
static _Atomic uint64_t generation;
static _Atomic int stop;

/* --- what went wrong: the first text, from any thread ------------------------------------------
 */

static pthread_mutex_t wrong_lock = PTHREAD_MUTEX_INITIALIZER;
static char wrong[256];
static _Atomic int is_wrong;

static SX_PRINTF(1, 2) void complain(const char *fmt, ...)
{
    va_list ap;
    pthread_mutex_lock(&wrong_lock);
    if (wrong[0] == 0) {
        va_start(ap, fmt);
        vsnprintf(wrong, sizeof(wrong), fmt, ap);
        va_end(ap);
    }
    pthread_mutex_unlock(&wrong_lock);
    atomic_store(&is_wrong, 1);
    atomic_store(&stop, 1);
}

/* --- operations ----------------------------------------------------------------------------------
 */

static uint64_t rnd(uint64_t *s)
{
    *s ^= *s << 13;
    *s ^= *s >> 7;
    *s ^= *s << 17;
    return *s;
}

static struct sx_id *group_ids(struct call *c, uint32_t group)
{
    struct sx_id *ids = sx_arena_zalloc(&c->arena, GROUP * sizeof(*ids));
    for (uint32_t i = 0; i < GROUP; i++)
        ids[i] = (struct sx_id){0, group * 1000 + i, SX_ID_NUM, 0};
    return ids;
}

static struct sx_doc payload_of(struct call *c, uint64_t g, uint32_t group)
{
    char text[160];
    snprintf(text, sizeof(text), "{\"g\":%llu,\"u\":%llu,\"s\":\"g%llu\",\"grp\":\"grp%u\"}",
             (unsigned long long)g, (unsigned long long)g, (unsigned long long)g, group);
    return fj_doc(&c->arena, text);
}

static void prepare_upsert(struct call *c, uint32_t group, uint64_t g)
{
    struct sx_id *ids = group_ids(c, group);
    struct sx_point_in *p = sx_arena_zalloc(&c->arena, GROUP * sizeof(*p));
    struct sx_vec_in *v = sx_arena_zalloc(&c->arena, sizeof(*v));
    struct sx_args_upsert *a = sx_arena_zalloc(&c->arena, sizeof(*a));
    float *d = sx_arena_alloc_aligned(&c->arena, DIM * sizeof(float), 64);
    for (uint32_t k = 0; k < DIM; k++)
        d[k] = (float)g;
    *v = (struct sx_vec_in){
        .kind = SX_VEC_DENSE, .dim = DIM, .rows = 1, .data = d, .name = {"", 0, 0}};
    for (uint32_t i = 0; i < GROUP; i++)
        p[i] = (struct sx_point_in){
            .id = ids[i], .n_vectors = 1, .vectors = v, .payload = payload_of(c, g, group)};
    a->n = GROUP;
    a->points = p;
    c->op.code = SX_OP_POINTS_UPSERT;
    c->op.args = a;
}

/* The payload alone; by ids, or by a condition that the strand resolves. */
static void prepare_payload(struct call *c, uint32_t group, uint64_t g, int by_filter)
{
    struct sx_args_payload *a = sx_arena_zalloc(&c->arena, sizeof(*a));
    char text[96];
    snprintf(text, sizeof(text), "{\"must\":[{\"key\":\"grp\",\"match\":{\"value\":\"grp%u\"}}]}",
             group);
    if (by_filter)
        a->points = (struct sx_points){0, 0, NULL, fj_filter(&c->arena, fj_doc(&c->arena, text))};
    else
        a->points = (struct sx_points){1, GROUP, group_ids(c, group), NULL};
    a->payload = payload_of(c, g, group);
    c->op.code = SX_OP_PAYLOAD_OVERWRITE;
    c->op.args = a;
}

static void prepare_delete(struct call *c, uint32_t group)
{
    struct sx_args_points *a = sx_arena_zalloc(&c->arena, sizeof(*a));
    a->points = (struct sx_points){1, GROUP, group_ids(c, group), NULL};
    c->op.code = SX_OP_POINTS_DELETE;
    c->op.args = a;
}

static const struct sx_filter *where(struct call *c, const char *key, const char *value)
{
    char text[128];
    snprintf(text, sizeof(text), "{\"must\":[{\"key\":\"%s\",\"match\":{\"value\":%s}}]}", key,
             value);
    return fj_filter(&c->arena, fj_doc(&c->arena, text));
}

static void prepare_scroll(struct call *c, const struct sx_filter *filter)
{
    struct sx_args_scroll *a = sx_arena_zalloc(&c->arena, sizeof(*a));
    a->limit = 10000;
    a->payload.mode = a->vectors.mode = SX_SEL_ALL;
    a->filter = filter;
    c->op.code = SX_OP_SCROLL;
    c->op.args = a;
}

static void prepare_count(struct call *c, const struct sx_filter *filter)
{
    struct sx_args_count *a = sx_arena_zalloc(&c->arena, sizeof(*a));
    a->exact = 1;
    a->filter = filter;
    c->op.code = SX_OP_COUNT;
    c->op.args = a;
}

static void prepare_facet(struct call *c)
{
    struct sx_args_facet *a = sx_arena_zalloc(&c->arena, sizeof(*a));
    a->key = fj_path(&c->arena, (struct sx_str){"s", 1, 0});
    a->limit = 1000;
    a->exact = 1;
    c->op.code = SX_OP_FACET;
    c->op.args = a;
}

static void prepare_get(struct call *c, uint32_t group)
{
    struct sx_args_ids *a = sx_arena_zalloc(&c->arena, sizeof(*a));
    a->n = GROUP;
    a->ids = group_ids(c, group);
    a->payload.mode = a->vectors.mode = SX_SEL_ALL;
    c->op.code = SX_OP_POINTS_GET;
    c->op.args = a;
}

static void prepare_query(struct call *c, const struct sx_filter *filter)
{
    static _Alignas(64) const float ones[DIM] = {1, 1, 1, 1, 1, 1, 1, 1};
    struct sx_query *q = sx_arena_zalloc(&c->arena, sizeof(*q));
    struct sx_args_query *a = sx_arena_zalloc(&c->arena, sizeof(*a));
    q->kind = SX_Q_NEAREST;
    q->using_name = (struct sx_str){"", 0, 0};
    q->vector = (struct sx_vec_in){
        .kind = SX_VEC_DENSE, .dim = DIM, .rows = 1, .data = ones, .name = {"", 0, 0}};
    q->limit = 10000;
    q->filter = filter;
    q->payload.mode = SX_SEL_ALL;
    a->n = 1;
    a->queries = q;
    c->op.code = SX_OP_QUERY;
    c->op.args = a;
}

static void prepare_index(struct call *c, const char *field, const char *type)
{
    struct sx_args_field *a = sx_arena_zalloc(&c->arena, sizeof(*a));
    char text[64];
    snprintf(text, sizeof(text), "{\"type\":\"%s\"}", type);
    a->field = fj_path(&c->arena, (struct sx_str){field, (uint32_t)strlen(field), 0});
    a->schema = fj_doc(&c->arena, text);
    a->bare = 1;
    c->op.code = SX_OP_INDEX_CREATE;
    c->op.args = a;
}

/* --- what readers must see -------------------------------------------------------------------- */

/* Records of whole groups: each id once, of a group all or none, all of one generation and all
 * vectors of one writing. */
static void check_records(const struct sx_record_list *l, const char *what, int with_vectors)
{
    struct {
        uint32_t n;
        uint64_t seen, g;
        float v;
    } group[GROUPS] = {0};
    for (uint32_t i = 0; i < l->n; i++) {
        const struct sx_record *r = &l->records[i];
        uint64_t k = r->id.lo / 1000, at = r->id.lo % 1000;
        uint64_t g = sx_doc_num(sx_doc_get(r->payload, "g")).v.u;
        float v = 0;
        if (k >= GROUPS || at >= GROUP || (group[k].seen >> at & 1)) {
            complain("%s: point %llu twice or never written", what, (unsigned long long)r->id.lo);
            return;
        }
        if (g != sx_doc_num(sx_doc_get(r->payload, "u")).v.u)
            complain("%s: one document with two generations", what);
        if (with_vectors) {
            if (r->n_vectors != 1 || r->vectors[0].dim != DIM) {
                complain("%s: a point without its vector", what);
                return;
            }
            v = r->vectors[0].data[0];
            for (uint32_t d = 1; d < DIM; d++) {
                if (r->vectors[0].data[d] != v)
                    complain("%s: a torn vector", what);
            }
        } else {
            v = r->score;
        }
        if (group[k].n && (group[k].g != g || group[k].v != v))
            complain("%s: group %llu in generations %llu and %llu, vectors %g and %g", what,
                     (unsigned long long)k, (unsigned long long)group[k].g, (unsigned long long)g,
                     (double)group[k].v, (double)v);
        group[k].g = g;
        group[k].v = v;
        group[k].seen |= 1ull << at;
        group[k].n++;
    }
    for (uint32_t k = 0; k < GROUPS; k++) {
        if (group[k].n != 0 && group[k].n != GROUP)
            complain("%s: %u of %u points of group %u", what, group[k].n, GROUP, k);
    }
}

/* Groups that are never deleted are all there. */
static void check_whole(const struct sx_record_list *l, const char *what, int with_vectors)
{
    check_records(l, what, with_vectors);
    if (l->n < STABLE * GROUP)
        complain("%s: %u points, %u are never deleted", what, l->n, STABLE * GROUP);
}

enum {
    READ_SCROLL,
    READ_SCROLL_GROUP,
    READ_SCROLL_UNINDEXED,
    READ_COUNT,
    READ_COUNT_INDEXED,
    READ_COUNT_UNINDEXED,
    READ_FACET,
    READ_GET,
    READ_SEARCH,
    READ_SEARCH_INDEXED,
    READ_SEARCH_UNINDEXED,
    N_READS
};

static void prepare_read(struct call *c, uint32_t kind, uint64_t *s)
{
    char number[32], group[16];
    uint64_t now = atomic_load(&generation), back = rnd(s) % 12;
    uint32_t k = (uint32_t)(rnd(s) % GROUPS);
    snprintf(number, sizeof(number), "%llu", (unsigned long long)(now > back ? now - back : 1));
    snprintf(group, sizeof(group), "\"grp%u\"", k);
    switch (kind) {
    case READ_SCROLL:
        prepare_scroll(c, NULL);
        break;
    case READ_SCROLL_GROUP:
        prepare_scroll(c, where(c, "grp", group));
        break;
    case READ_SCROLL_UNINDEXED:
        prepare_scroll(c, where(c, "u", number));
        break;
    case READ_COUNT:
        prepare_count(c, NULL);
        break;
    case READ_COUNT_INDEXED:
        prepare_count(c, where(c, "g", number));
        break;
    case READ_COUNT_UNINDEXED:
        prepare_count(c, where(c, "u", number));
        break;
    case READ_FACET:
        prepare_facet(c);
        break;
    case READ_GET:
        prepare_get(c, k);
        break;
    case READ_SEARCH:
        prepare_query(c, NULL);
        break;
    case READ_SEARCH_INDEXED:
        prepare_query(c, where(c, "g", number));
        break;
    default:
        prepare_query(c, where(c, "u", number));
        break;
    }
}

static void check_facet(const struct sx_reply *r)
{
    uint64_t n = 0;
    for (uint32_t i = 0; i < r->u.facet.n; i++) {
        n += r->u.facet.hits[i].count;
        if (r->u.facet.hits[i].count != GROUP)
            complain("facet: %llu points of generation %.*s",
                     (unsigned long long)r->u.facet.hits[i].count, (int)r->u.facet.hits[i].str.n,
                     r->u.facet.hits[i].str.p);
    }
    if (n < STABLE * GROUP || n > GROUPS * GROUP)
        complain("facet: %llu points", (unsigned long long)n);
}

static void check_read(uint32_t kind, const struct sx_reply *r)
{
    if (r->code != 0) {
        complain("read %u: code %d, %.*s", kind, r->code, (int)r->err.n, r->err.p);
        return;
    }
    switch (kind) {
    case READ_SCROLL:
        check_whole(&r->u.records.list, "scroll", 1);
        break;
    case READ_SCROLL_GROUP:
        check_records(&r->u.records.list, "scroll with an index", 1);
        break;
    case READ_SCROLL_UNINDEXED:
        check_records(&r->u.records.list, "scroll without an index", 1);
        break;
    case READ_COUNT:
        if (r->u.count % GROUP || r->u.count < STABLE * GROUP)
            complain("count of all: %llu", (unsigned long long)r->u.count);
        break;
    case READ_COUNT_INDEXED:
    case READ_COUNT_UNINDEXED:
        if (r->u.count != 0 && r->u.count != GROUP)
            complain("count of a generation: %llu", (unsigned long long)r->u.count);
        break;
    case READ_FACET:
        check_facet(r);
        break;
    case READ_GET:
        check_records(&r->u.records.list, "points by id", 1);
        break;
    case READ_SEARCH:
        check_whole(&r->u.scored.lists[0], "search", 0);
        break;
    case READ_SEARCH_INDEXED:
        check_records(&r->u.scored.lists[0], "search with an index", 0);
        break;
    default:
        check_records(&r->u.scored.lists[0], "search without an index", 0);
        break;
    }
}

/* --- actors: one operation after the other on a loop of their own -------------------------------
 */

struct actor {
    struct fixture *f;
    struct sx_loop *loop;
    struct sx_task task;
    struct call call;
    uint64_t s;
    uint32_t writes, left, kind, has_call;
    uint32_t gone; /* of a writer: the group that it deleted last, + 1 */
};

static _Atomic uint32_t n_running, n_writing;
static _Atomic uint64_t n_reads[N_READS], n_writes;

static void actor_step(struct sx_task *task, struct sx_worker *w);

static void actor_done(struct sx_op *op, const struct sx_reply *r)
{
    struct actor *a = op->arg;
    if (a->writes) {
        if (r->code != 0)
            complain("a write: code %d, %.*s", r->code, (int)r->err.n, r->err.p);
        atomic_fetch_add(&n_writes, 1);
    } else {
        check_read(a->kind, r);
        atomic_fetch_add(&n_reads[a->kind], 1);
    }
    sx_loop_table()->post(a->loop, &a->task); /* the arena is in use until we return */
}

static void prepare_write(struct actor *a)
{
    uint32_t group = (uint32_t)(rnd(&a->s) % GROUPS), how = (uint32_t)(rnd(&a->s) % 8);
    uint64_t g = atomic_fetch_add(&generation, 1) + 1;
    if (a->gone) { /* what was deleted comes back */
        group = a->gone - 1;
        how = 0;
        a->gone = 0;
    } else if (group >= STABLE && how == 7) {
        a->gone = group + 1;
        prepare_delete(&a->call, group);
        return;
    } else if (group >= STABLE) {
        how = 0; /* somebody may have deleted it: by id its payload could not be set */
    }
    if (how < 4)
        prepare_upsert(&a->call, group, g);
    else
        prepare_payload(&a->call, group, g, how > 5);
}

static void actor_step(struct sx_task *task, struct sx_worker *w)
{
    struct actor *a = task->arg;
    (void)w;
    if (a->has_call)
        call_fini(&a->call);
    a->has_call = 0;
    if (a->writes ? a->left == 0 || atomic_load(&is_wrong) : atomic_load(&stop)) {
        if (a->writes && atomic_fetch_sub(&n_writing, 1) == 1)
            atomic_store(&stop, 1);
        atomic_fetch_sub(&n_running, 1);
        return;
    }
    a->left--;
    call_init(&a->call, 0, "c");
    a->has_call = 1;
    a->call.op.loop = a->loop;
    a->call.op.done = actor_done;
    a->call.op.arg = a;
    if (a->writes) {
        prepare_write(a);
        a->call.op.flags = rnd(&a->s) % 4 ? 0 : SX_OP_WAIT;
    } else {
        a->kind = (uint32_t)(rnd(&a->s) % N_READS);
        prepare_read(&a->call, a->kind, &a->s);
    }
    if (a->f->ops->submit(a->f->eng->self, &a->call.op) != 0)
        complain("an operation was not taken");
}

static void run_one(struct fixture *f, struct call *c)
{
    run_op(f, c);
    assert_int_equal(c->reply.code, 0);
    call_fini(c);
}

/* The collection with every group in a first generation, and its indexes. */
static void make_collection(struct fixture *f)
{
    static const char *const indexes[][2] = {
        {"g", "integer"}, {"s", "keyword"}, {"grp", "keyword"}};
    struct call c;
    assert_int_equal(create_collection(f, "c", BODY), 0);
    for (uint32_t k = 0; k < GROUPS; k++) {
        call_init(&c, 0, "c");
        prepare_upsert(&c, k, atomic_fetch_add(&generation, 1) + 1);
        run_one(f, &c);
    }
    for (uint32_t i = 0; i < SX_COUNT(indexes); i++) {
        call_init(&c, 0, "c");
        prepare_index(&c, indexes[i][0], indexes[i][1]);
        c.op.flags = SX_OP_WAIT;
        run_one(f, &c);
    }
}

static void run_actors(struct fixture *f, uint32_t rounds)
{
    static struct actor actors[2 * LOOPS];
    atomic_store(&stop, 0);
    atomic_store(&n_running, 2 * LOOPS);
    atomic_store(&n_writing, LOOPS);
    for (uint32_t i = 0; i < 2 * LOOPS; i++) {
        struct actor *a = &actors[i];
        memset(a, 0, sizeof(*a));
        a->f = f;
        a->loop = sx_loop_table()->at(i % LOOPS);
        a->s = (seed + i) * 0x9e3779b97f4a7c15ull | 1;
        a->writes = i < LOOPS;
        a->left = a->writes ? rounds : UINT32_MAX;
        a->task = (struct sx_task){actor_step, NULL, a};
        sx_loop_table()->post(a->loop, &a->task);
    }
    while (atomic_load(&n_running))
        sx_loops_turn(10);
    if (atomic_load(&is_wrong))
        fail_msg("seed %llu: %s", (unsigned long long)seed, wrong);
}

static void readers_beside_writers(const char *rows_kind, uint32_t rounds)
{
    struct fixture f;
    fx_dir(&f);
    fx_start(&f, rows_kind);
    make_collection(&f);
    run_actors(&f, rounds);
    for (int restart = 0; restart < 2; restart++) {
        for (uint32_t kind = 0; kind < N_READS; kind++) {
            struct call c;
            uint64_t s = seed | 1;
            call_init(&c, 0, "c");
            prepare_read(&c, kind, &s);
            run_op(&f, &c);
            check_read(kind, &c.reply);
            call_fini(&c);
        }
        if (atomic_load(&is_wrong))
            fail_msg("seed %llu, at rest: %s", (unsigned long long)seed, wrong);
        fx_stop(&f, restart);
        if (restart == 0)
            fx_start(&f, rows_kind);
    }
    fx_remove(&f);
}

static void test_mmap(void **state)
{
    (void)state;
    readers_beside_writers("mmap", 30);
}

static void test_ram(void **state)
{
    (void)state;
    readers_beside_writers("ram", 30);
}

/* --- a writer that stands still -------------------------------------------------------------- */

/* The n-th step is held: a call of sx.io that changes something, made on any thread but ours, waits
 * at the gate; a task handed to the pools is put aside. */
enum { HOLD_NOTHING, HOLD_IO, HOLD_TASK };
static pthread_mutex_t gate = PTHREAD_MUTEX_INITIALIZER;
static pthread_cond_t opened = PTHREAD_COND_INITIALIZER;
static int hold_what, hold_in; /* hold_in: steps until the one to be held */
static _Atomic int is_held;
static char held_at[48];
static pthread_t main_thread;
static struct sx_io gated;
static struct sx_exec held_exec;
static const struct sx_io *real_io;
static const struct sx_exec *real_exec;
static struct {
    struct sx_task *task;
    struct sx_strand *strand;
    uint32_t way, cls, ms, pad;
} aside;

/* [gate held] 1 when this step is the one. */
static int is_the_one(int what, const char *name)
{
    if (hold_what != what || hold_in == 0 || --hold_in != 0)
        return 0;
    snprintf(held_at, sizeof(held_at), "%s", name);
    return 1;
}

static void pass(const char *name)
{
    pthread_mutex_lock(&gate);
    if (!pthread_equal(pthread_self(), main_thread) && is_the_one(HOLD_IO, name)) {
        atomic_store(&is_held, 1);
        while (atomic_load(&is_held))
            pthread_cond_wait(&opened, &gate);
    }
    pthread_mutex_unlock(&gate);
}

static int g_dir_open(struct sx_dir *parent,
                      const char *name,
                      uint32_t create,
                      struct sx_dir **out,
                      struct sx_err *err)
{
    if (create)
        pass("mkdir");
    return real_io->dir_open(parent, name, create, out, err);
}

static int g_dir_sync(struct sx_dir *d, struct sx_err *err)
{
    pass("sync of a directory");
    return real_io->dir_sync(d, err);
}

static int
g_rename(struct sx_dir *from, const char *a, struct sx_dir *to, const char *b, struct sx_err *err)
{
    pass("rename");
    return real_io->rename(from, a, to, b, err);
}

static int g_unlink(struct sx_dir *d, const char *name, struct sx_err *err)
{
    pass("unlink");
    return real_io->unlink(d, name, err);
}

static int
g_open(struct sx_dir *d, const char *name, uint32_t flags, struct sx_file **out, struct sx_err *err)
{
    pass("open");
    return real_io->open(d, name, flags, out, err);
}

static int g_pwrite(struct sx_file *f, const void *p, uint64_t n, uint64_t off, struct sx_err *err)
{
    pass("write");
    return real_io->pwrite(f, p, n, off, err);
}

static int g_truncate(struct sx_file *f, uint64_t n, struct sx_err *err)
{
    pass("truncate");
    return real_io->truncate(f, n, err);
}

static int g_allocate(struct sx_file *f, uint64_t off, uint64_t n, struct sx_err *err)
{
    pass("allocate");
    return real_io->allocate(f, off, n, err);
}

static int g_datasync(struct sx_file *f, struct sx_err *err)
{
    pass("sync");
    return real_io->datasync(f, err);
}

static int g_sync(struct sx_file *f, struct sx_err *err)
{
    pass("sync");
    return real_io->sync(f, err);
}

static int
g_map(struct sx_file *f, uint64_t off, uint64_t n, void *at, void **out, struct sx_err *err)
{
    pass("map");
    return real_io->map(f, off, n, at, out, err);
}

/* Hands a task on to where it was going. */
static void hand_on(uint32_t way, struct sx_task *t, struct sx_strand *s, uint32_t cls, uint32_t ms)
{
    if (way == 0)
        real_exec->submit(t, cls);
    else if (way == 1)
        real_exec->blocking(t);
    else if (way == 2)
        real_exec->delay(t, ms);
    else
        real_exec->strand_post(s, t);
}

static void
take_task(uint32_t way, struct sx_task *t, struct sx_strand *s, uint32_t cls, uint32_t ms)
{
    static const char *const names[] = {"task on the pool", "task that blocks", "delayed task",
                                        "task on the strand"};
    pthread_mutex_lock(&gate);
    int mine = is_the_one(HOLD_TASK, names[way]);
    if (mine) {
        aside.task = t;
        aside.strand = s;
        aside.way = way;
        aside.cls = cls;
        aside.ms = ms;
        atomic_store(&is_held, 1);
    }
    pthread_mutex_unlock(&gate);
    if (!mine)
        hand_on(way, t, s, cls, ms);
}

static void h_submit(struct sx_task *t, uint32_t cls)
{
    take_task(0, t, NULL, cls, 0);
}

static void h_blocking(struct sx_task *t)
{
    take_task(1, t, NULL, 0, 0);
}

static void h_delay(struct sx_task *t, uint32_t ms)
{
    take_task(2, t, NULL, 0, ms);
}

static void h_strand_post(struct sx_strand *s, struct sx_task *t)
{
    take_task(3, t, s, 0, 0);
}

static void hold(int what, int n)
{
    pthread_mutex_lock(&gate);
    hold_what = what;
    hold_in = n;
    pthread_mutex_unlock(&gate);
}

static void let_go(void)
{
    pthread_mutex_lock(&gate);
    int was_task = hold_what == HOLD_TASK && atomic_load(&is_held);
    hold_what = HOLD_NOTHING;
    atomic_store(&is_held, 0);
    pthread_cond_broadcast(&opened);
    pthread_mutex_unlock(&gate);
    if (was_task)
        hand_on(aside.way, aside.task, aside.strand, aside.cls, aside.ms);
}

/* A read that waits on our own thread never comes back to us. */
static void on_alarm(int signal)
{
    static const char text[] = "a reader waits on its own thread for a writer that stands at: ";
    (void)signal;
    if (write(2, text, sizeof(text) - 1) >= 0 && write(2, held_at, strlen(held_at)) >= 0)
        (void)!write(2, "\n", 1);
    _exit(1);
}

static void start_gated(struct fixture *f)
{
    main_thread = pthread_self();
    signal(SIGALRM, on_alarm);
    real_io = sx_io_table();
    gated = *real_io;
    gated.dir_open = g_dir_open;
    gated.dir_sync = g_dir_sync;
    gated.rename = g_rename;
    gated.unlink = g_unlink;
    gated.open = g_open;
    gated.pwrite = g_pwrite;
    gated.truncate = g_truncate;
    gated.allocate = g_allocate;
    gated.datasync = g_datasync;
    gated.sync = g_sync;
    gated.map = g_map;
    fx_start_io(f, "mmap", &gated);
    struct eng *e = f->eng->self;
    real_exec = e->exec;
    held_exec = *real_exec;
    held_exec.submit = h_submit;
    held_exec.blocking = h_blocking;
    held_exec.delay = h_delay;
    held_exec.strand_post = h_strand_post;
    e->exec = &held_exec;
    f->conf.checkpoint_idle_ms = 3;
}

/* Every sort of read is answered now, before anything is let go. 15 seconds stand for "never". */
static void readers_are_answered(struct fixture *f, uint32_t n)
{
    uint64_t s = (seed + n) | 1, until = sx_time_mono_ns() + 15000000000ull;
    struct call c[N_READS + 2];
    alarm(20);
    for (uint32_t kind = 0; kind < N_READS + 2; kind++) {
        call_init(&c[kind], 0, kind == N_READS + 1 ? "" : "c");
        if (kind < N_READS)
            prepare_read(&c[kind], kind, &s);
        else
            c[kind].op.code = kind == N_READS ? SX_OP_COLLECTION_GET : SX_OP_COLLECTIONS_LIST;
        assert_int_equal(f->ops->submit(f->eng->self, &c[kind].op), 0);
    }
    for (uint32_t kind = 0; kind < N_READS + 2; kind++) {
        while (!c[kind].done && sx_time_mono_ns() < until)
            sx_loops_turn(10);
        if (!c[kind].done)
            fail_msg("read %u waits for a writer that stands at step %u (%s)", kind, n, held_at);
        if (kind < N_READS)
            check_read(kind, &c[kind].reply);
        else
            assert_int_equal(c[kind].reply.code, 0);
        call_fini(&c[kind]);
    }
    alarm(0);
    if (atomic_load(&is_wrong))
        fail_msg("seed %llu, a writer stands at step %u (%s): %s", (unsigned long long)seed, n,
                 held_at, wrong);
}

static void prepare_sort(struct call *c, uint32_t sort, uint32_t n)
{
    uint64_t g = atomic_fetch_add(&generation, 1) + 1;
    char name[16];
    if (sort == 0)
        prepare_upsert(c, n % GROUPS, g);
    else if (sort == 1)
        prepare_payload(c, n % GROUPS, g, n & 1);
    else if (sort == 2)
        prepare_delete(c, STABLE + n % (GROUPS - STABLE));
    else { /* each time another name */
        snprintf(name, sizeof(name), "f%llu", (unsigned long long)g);
        char *copy = sx_arena_zalloc(&c->arena, sizeof(name));
        memcpy(copy, name, sizeof(name));
        prepare_index(c, copy, "integer");
    }
}

/* Runs an operation whose n-th step stands still until all reads are answered. 0 when it and the
 * checkpoint after it had fewer steps. */
static int one_stop(struct fixture *f, uint32_t sort, int what, uint32_t n)
{
    struct call c;
    uint32_t caught = 0;
    call_init(&c, 0, "c");
    prepare_sort(&c, sort, n);
    c.op.flags = SX_OP_WAIT;
    hold(what, (int)n);
    assert_int_equal(f->ops->submit(f->eng->self, &c.op), 0);
    for (uint32_t idle = 0; idle < 12 && !caught;) {
        sx_loops_turn(c.done ? 2 : 10);
        idle += c.done != 0;
        caught = atomic_load(&is_held) != 0;
    }
    if (caught)
        readers_are_answered(f, n);
    let_go();
    call_wait(&c);
    if (c.reply.code != 0)
        fail_msg("sort %u, step %u (%s): code %d, %.*s", sort, n, held_at, c.reply.code,
                 (int)c.reply.err.n, c.reply.err.p);
    call_fini(&c);
    if (sort == 2) { /* the group comes back */
        call_init(&c, 0, "c");
        prepare_upsert(&c, STABLE + n % (GROUPS - STABLE), atomic_fetch_add(&generation, 1) + 1);
        run_one(f, &c);
    }
    return (int)caught;
}

static void test_writer_stands_still(void **state)
{
    struct fixture f;
    uint32_t n_steps[2] = {0, 0};
    (void)state;
    fx_dir(&f);
    start_gated(&f);
    make_collection(&f);
    for (int what = HOLD_IO; what <= HOLD_TASK; what++) {
        for (uint32_t sort = 0; sort < 4; sort++) {
            uint32_t n = 1;
            while (n <= 40 && one_stop(&f, sort, what, n))
                n++;
            n_steps[what - HOLD_IO] += n - 1;
        }
    }
    print_message("a writer stood still at %u calls to the disk and %u tasks\n", n_steps[0],
                  n_steps[1]);
    assert_true(n_steps[0] > 20 && n_steps[1] > 8);
    fx_stop(&f, 1);
    fx_remove(&f);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_mmap),
        cmocka_unit_test(test_ram),
        cmocka_unit_test(test_writer_stands_still),
    };
    const char *given = getenv("SEED");
    seed = given ? strtoull(given, NULL, 10) : (uint64_t)sx_time_mono_ns() % 1000000007u;
    print_message("seed %llu\n", (unsigned long long)seed);
    int rc = cmocka_run_group_tests(tests, NULL, NULL);
    uint64_t reads = 0;
    for (uint32_t i = 0; i < N_READS; i++)
        reads += atomic_load(&n_reads[i]);
    print_message("%llu writes, %llu reads\n", (unsigned long long)atomic_load(&n_writes),
                  (unsigned long long)reads);
    return rc;
}
