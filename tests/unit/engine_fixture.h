/* A server without transports: kernel services, the engine and what it needs, in this process. The
 * main thread is loop 0; run_op() submits there and turns the loop until the answer is in. */
#ifndef ENGINE_FIXTURE_H
#define ENGINE_FIXTURE_H

#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "engine/engine.h"
#include "kernel/cpu.h"
#include "kernel/epoch.h"
#include "kernel/exec.h"
#include "kernel/host.h"
#include "kernel/io.h"
#include "kernel/loop.h"
#include "kernel/mem.h"
#include "kernel/registry.h"

#include <cmocka.h>

extern const struct sx_plugin engine_LTX_sx_plugin, distance_basic_LTX_sx_plugin,
    index_flat_LTX_sx_plugin, storage_mmap_LTX_sx_plugin, storage_ram_LTX_sx_plugin;

struct fixture {
    char dir[64], path[96];
    struct sx_registry reg;
    struct eng_conf conf;
    struct sx_module *eng;
    const struct sx_engine_ops *ops;
    uint64_t max_open; /* 0 = plenty */
};

/* io: NULL = the kernel's. */
static inline void fx_start_io(struct fixture *f, const char *rows_kind, const struct sx_io *io)
{
    static const struct sx_plugin *const all[] = {
        &distance_basic_LTX_sx_plugin, &index_flat_LTX_sx_plugin, &storage_mmap_LTX_sx_plugin,
        &storage_ram_LTX_sx_plugin, &engine_LTX_sx_plugin};
    struct sx_err err = SX_ERR_INIT;
    assert_int_equal(sx_host_init(&err), 0);
    assert_int_equal(sx_exec_init(2, 1, 8, &err), 0);
    assert_int_equal(sx_loops_init(1, &err), 0);
    if (io)
        sx_host_service("sx.io", io, sizeof(*io));
    sx_host_service("sx.reg", sx_registry_table(), sizeof(struct sx_reg));
    sx_registry_init(&f->reg, sx_mem_kernel());
    for (uint32_t i = 0; i < SX_COUNT(all); i++)
        assert_int_equal(sx_registry_add(&f->reg, all[i], "builtin", 0, &err), 0);
    struct sx_registry_solver solver = {NULL, NULL, NULL};
    assert_int_equal(sx_registry_solve(&f->reg, &solver), 0);
    assert_int_equal(sx_registry_instantiate(&f->reg, "1.20.0", &err), 0);
    sx_registry_publish(&f->reg);
    f->conf = (struct eng_conf){.storage_path = f->path,
                                .rows_kind = rows_kind,
                                .index_kind = "flat",
                                .max_open = f->max_open ? f->max_open : 1000,
                                .log_sync = "always",
                                .log_sync_ms = 10,
                                .on_disk_payload = 1,
                                .max_collections = SX_KEY_UNSET,
                                .checkpoint_log_mb = 32,
                                .checkpoint_idle_ms = 50,
                                .scrub_pause_ms = 5,
                                .scrub_rest_ms = 20};
    for (uint32_t i = 0; i < f->reg.n_modules; i++) {
        struct sx_module *m = &f->reg.modules[i];
        uint64_t no_conf[64] = {0};
        const void *conf = !strcmp(m->plugin->name, "engine") ? (const void *)&f->conf : no_conf;
        if (m->plugin->load && m->plugin->load(m->host, m->self, &err) != 0)
            fail_msg("%s: %s", m->plugin->name, err.msg);
        if (m->plugin->configure)
            assert_int_equal(m->plugin->configure(m->self, conf, &err), 0);
        if (m->plugin->start) {
            int rc = m->plugin->start(m->self, &err);
            if (rc != 0)
                print_error("%s: %s\n", m->plugin->name, err.msg);
            assert_int_equal(rc, 0);
        }
    }
    f->eng = sx_registry_module(&f->reg, "engine");
    f->ops = f->eng->plugin->provides[0].ops;
    assert_int_equal(sx_exec_start(NULL, NULL, &err), 0);
    assert_int_equal(sx_loops_start(NULL, NULL, &err), 0);
}

static inline void fx_start(struct fixture *f, const char *rows_kind)
{
    fx_start_io(f, rows_kind, NULL);
}

static inline void fx_stop(struct fixture *f, int clean)
{
    if (clean)
        f->eng->plugin->drain(f->eng->self, sx_time_mono_ns() + 20000000000ull);
    else
        ((struct eng *)f->eng->self)->is_stopping = 1;
    sx_exec_stop();
    sx_loops_turn(0);
    sx_loops_fini();
    sx_exec_fini();
    sx_epoch_drain();
    for (uint32_t i = f->reg.n_modules; i-- > 0;) {
        struct sx_module *m = &f->reg.modules[i];
        if (m->plugin->stop)
            m->plugin->stop(m->self);
    }
    sx_registry_publish(NULL);
    sx_registry_fini(&f->reg);
}

static inline void fx_dir(struct fixture *f)
{
    memset(f, 0, sizeof(*f));
    const char *tmp = getenv("TMPDIR");
    snprintf(f->dir, sizeof(f->dir), "%.40s/sx-engine-XXXXXX", tmp ? tmp : "/tmp");
    assert_non_null(mkdtemp(f->dir));
    snprintf(f->path, sizeof(f->path), "%s/storage", f->dir);
}

static inline void fx_remove(struct fixture *f)
{
    char cmd[128];
    snprintf(cmd, sizeof(cmd), "rm -rf '%s'", f->dir);
    assert_int_equal(system(cmd), 0);
}

/* One operation in flight: own arena, own reply. */
struct call {
    struct sx_op op;
    struct sx_arena arena;
    int done;
    struct sx_reply reply;
    void (*then)(struct call *c, const struct sx_reply *r); /* runs inside done() */
    void *ctx;
};

static inline void call_done(struct sx_op *op, const struct sx_reply *r)
{
    struct call *c = op->arg;
    c->reply = *r;
    if (c->then)
        c->then(c, r);
    c->done = 1;
}

static inline void call_init(struct call *c, uint32_t code, const char *collection)
{
    memset(c, 0, sizeof(*c));
    sx_arena_init(&c->arena, sx_mem_libc(), 0);
    c->op.size = sizeof(c->op);
    c->op.code = code;
    c->op.arena = &c->arena;
    c->op.collection = (struct sx_str){collection, (uint32_t)strlen(collection), 0};
    c->op.loop = sx_loop_table()->at(0);
    c->op.done = call_done;
    c->op.arg = c;
    c->op.start_ns = sx_time_mono_ns();
}

static inline void call_wait(struct call *c)
{
    while (!c->done)
        sx_loops_turn(10);
}

static inline void run_op(struct fixture *f, struct call *c)
{
    assert_int_equal(f->ops->submit(f->eng->self, &c->op), 0);
    call_wait(c);
}

static inline void call_fini(struct call *c)
{
    sx_arena_fini(&c->arena);
}

static inline int create_collection(struct fixture *f, const char *name, const char *json)
{
    struct call c;
    struct sx_json j;
    struct sx_docb b;
    call_init(&c, SX_OP_COLLECTION_CREATE, name);
    sx_json_init(&j, json, strlen(json), &c.arena);
    sx_docb_init(&b, sx_mem_libc(), 0);
    assert_int_equal(sx_json_doc(&j, &b), 0);
    c.op.body = sx_docb_end_arena(&b, &c.arena);
    sx_docb_fini(&b);
    run_op(f, &c);
    int code = c.reply.code;
    call_fini(&c);
    return code;
}

#endif
