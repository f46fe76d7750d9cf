/* Writes that wait end with their deadline, not with a disk that hangs; what they changed stays. */
/* needs: plugins/engine/ plugins/distance-basic/ plugins/index-flat/ plugins/storage-mmap/
 * needs: plugins/storage-ram/ plugins/storage-common/ kernel/ */
#include <pthread.h>

#include "engine_fixture.h"

#define BODY "{\"vectors\":{}}"

/* A disk whose syncs wait at a gate. */
static struct sx_io gated;
static pthread_mutex_t gate = PTHREAD_MUTEX_INITIALIZER;
static pthread_cond_t opened = PTHREAD_COND_INITIALIZER;
static int is_shut, n_held;

static int gated_datasync(struct sx_file *f, struct sx_err *err)
{
    pthread_mutex_lock(&gate);
    n_held += is_shut;
    while (is_shut)
        pthread_cond_wait(&opened, &gate);
    pthread_mutex_unlock(&gate);
    return sx_io_table()->datasync(f, err);
}

static int is_held(void)
{
    pthread_mutex_lock(&gate);
    int is = n_held > 0;
    pthread_mutex_unlock(&gate);
    return is;
}

static void set_gate(int shut)
{
    pthread_mutex_lock(&gate);
    is_shut = shut;
    pthread_cond_broadcast(&opened);
    pthread_mutex_unlock(&gate);
}

static void start(struct fixture *f)
{
    fx_dir(f);
    gated = *sx_io_table();
    gated.datasync = gated_datasync;
    fx_start_io(f, "mmap", &gated);
    assert_int_equal(create_collection(f, "c", BODY), 0);
}

static void upsert(struct fixture *f, struct call *c, uint64_t id, uint64_t timeout_ms)
{
    call_init(c, SX_OP_POINTS_UPSERT, "c");
    struct sx_point_in *p = sx_arena_zalloc(&c->arena, sizeof(*p));
    struct sx_args_upsert *a = sx_arena_zalloc(&c->arena, sizeof(*a));
    p->id = (struct sx_id){0, id, SX_ID_NUM, 0};
    a->n = 1;
    a->points = p;
    c->op.args = a;
    c->op.flags = SX_OP_WAIT;
    c->op.deadline_ns = timeout_ms ? c->op.start_ns + timeout_ms * 1000000u : 0;
    assert_int_equal(f->ops->submit(f->eng->self, &c->op), 0);
}

static uint64_t count(struct fixture *f)
{
    struct call c;
    call_init(&c, SX_OP_COUNT, "c");
    c.op.args = sx_arena_zalloc(&c.arena, sizeof(struct sx_args_count));
    run_op(f, &c);
    assert_int_equal(c.reply.code, 0);
    uint64_t n = c.reply.u.count;
    call_fini(&c);
    return n;
}

static void test_a_sync_that_hangs(void **state)
{
    struct fixture f;
    struct call first, late, patient;
    (void)state;
    start(&f);
    upsert(&f, &first, 1, 0);
    call_wait(&first);
    assert_int_equal(first.reply.u.update.status, SX_UPDATE_COMPLETED);

    set_gate(1);
    upsert(&f, &late, 2, 1);
    upsert(&f, &patient, 3, 0);
    call_wait(&late);
    assert_int_equal(late.reply.code, 0);
    assert_int_equal(late.reply.u.update.status, SX_UPDATE_WAIT_TIMEOUT);
    assert_int_equal(late.reply.u.update.op_id, first.reply.u.update.op_id + 1);
    assert_int_equal(patient.done, 0);
    assert_int_equal(count(&f), 3); /* and readers do not wait at all */
    assert_true(is_held());

    set_gate(0);
    call_wait(&patient);
    assert_int_equal(patient.reply.u.update.status, SX_UPDATE_COMPLETED);
    call_fini(&first);
    call_fini(&late);
    call_fini(&patient);
    fx_stop(&f, 0);
    fx_start(&f, "mmap");
    assert_int_equal(count(&f), 3); /* the later sync covered it */
    fx_stop(&f, 1);
    fx_remove(&f);
}

/* Each element of a batch says that it was not waited for to the end. */
static void test_a_batch(void **state)
{
    struct fixture f;
    struct call first, c;
    (void)state;
    start(&f);
    upsert(&f, &first, 0, 0); /* the log's first file is there */
    call_wait(&first);
    call_fini(&first);
    set_gate(1);
    call_init(&c, SX_OP_POINTS_BATCH, "c");
    struct sx_batch_item *items = sx_arena_zalloc(&c.arena, 2 * sizeof(*items));
    struct sx_args_batch *a = sx_arena_zalloc(&c.arena, sizeof(*a));
    for (uint32_t i = 0; i < 2; i++) {
        struct sx_point_in *p = sx_arena_zalloc(&c.arena, sizeof(*p));
        struct sx_args_upsert *u = sx_arena_zalloc(&c.arena, sizeof(*u));
        p->id = (struct sx_id){0, i, SX_ID_NUM, 0};
        u->n = 1;
        u->points = p;
        items[i] = (struct sx_batch_item){SX_OP_POINTS_UPSERT, 0, u};
    }
    a->n = 2;
    a->items = items;
    c.op.args = a;
    c.op.flags = SX_OP_WAIT;
    c.op.deadline_ns = c.op.start_ns + 1;
    run_op(&f, &c);
    assert_int_equal(c.reply.kind, SX_R_UPDATES);
    assert_int_equal(c.reply.u.updates.n, 2);
    for (uint32_t i = 0; i < 2; i++)
        assert_int_equal(c.reply.u.updates.list[i].status, SX_UPDATE_WAIT_TIMEOUT);
    call_fini(&c);
    set_gate(0);
    assert_int_equal(count(&f), 2);
    fx_stop(&f, 1);
    fx_remove(&f);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_a_sync_that_hangs),
        cmocka_unit_test(test_a_batch),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
