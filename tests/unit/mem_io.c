/* A disk in memory for tests. See mem_io.h. */
#ifndef _GNU_SOURCE
#define _GNU_SOURCE /* memfd_create */
#endif
#include "mem_io.h"

#include <pthread.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

enum { OP_WRITE, OP_TRUNCATE, OP_ADD, OP_REMOVE, OP_RENAME };

struct node;

/* A change since the last sync: of a file's bytes, or of a directory's entries. */
struct op {
    int kind;
    uint64_t off, n; /* truncate: n is the length */
    uint8_t *bytes;
    char name[256], name2[256];
    struct node *node;
};

struct entry {
    char name[256];
    struct node *node;
};

struct node {
    uint32_t refs, is_dir;
    struct op *ops;
    uint32_t n_ops, cap_ops;
    /* file */
    int fd, pad;
    uint64_t length, durable_n;
    uint8_t *durable;
    /* directory: entries now and durable ones */
    struct entry *now, *kept;
    uint32_t n_now, n_kept;
};

struct mem_io {
    pthread_mutex_t lock;
    struct node *root;
    uint64_t calls, syncs, fail_at, space, used, random;
    int fail_code;
    uint32_t fail_flags;
    void (*hook)(void *arg, struct mem_io *d);
    void *hook_arg;
};

struct sx_dir {
    struct mem_io *d;
    struct node *node;
};
struct sx_file {
    struct mem_io *d;
    struct node *node;
};

static struct mem_io *disk_in_use;

static uint64_t next_random(uint64_t *state)
{
    uint64_t z = (*state += UINT64_C(0x9e3779b97f4a7c15));

    z = (z ^ (z >> 30)) * UINT64_C(0xbf58476d1ce4e5b9);
    z = (z ^ (z >> 27)) * UINT64_C(0x94d049bb133111eb);
    return z ^ (z >> 31);
}

static void *must(void *p)
{
    if (p == NULL)
        abort();
    return p;
}

/* --- nodes ------------------------------------------------------------------------------- */

static struct node *node_create(uint32_t is_dir)
{
    struct node *n = must(calloc(1, sizeof(*n)));

    n->refs = 1;
    n->is_dir = is_dir;
    n->fd = is_dir ? -1 : memfd_create("mem_io", MFD_CLOEXEC);
    if (!is_dir && n->fd < 0)
        abort();
    return n;
}

static void node_release(struct node *n);

static void ops_clear(struct node *n)
{
    for (uint32_t i = 0; i < n->n_ops; i++) {
        free(n->ops[i].bytes);
        if (n->ops[i].node != NULL)
            node_release(n->ops[i].node);
    }
    n->n_ops = 0;
}

static void node_release(struct node *n)
{
    if (--n->refs != 0)
        return;
    ops_clear(n);
    for (uint32_t i = 0; i < n->n_now; i++)
        node_release(n->now[i].node);
    for (uint32_t i = 0; i < n->n_kept; i++)
        node_release(n->kept[i].node);
    if (n->fd >= 0)
        close(n->fd);
    free(n->ops);
    free(n->durable);
    free(n->now);
    free(n->kept);
    free(n);
}

static struct op *op_add(struct node *n, int kind)
{
    if (n->n_ops == n->cap_ops) {
        n->cap_ops = n->cap_ops != 0 ? n->cap_ops * 2 : 8;
        n->ops = must(realloc(n->ops, n->cap_ops * sizeof(n->ops[0])));
    }
    memset(&n->ops[n->n_ops], 0, sizeof(n->ops[0]));
    n->ops[n->n_ops].kind = kind;
    return &n->ops[n->n_ops++];
}

static struct entry *entry_find(struct entry *e, uint32_t n, const char *name)
{
    for (uint32_t i = 0; i < n; i++) {
        if (strcmp(e[i].name, name) == 0)
            return &e[i];
    }
    return NULL;
}

static void entry_remove(struct entry *e, uint32_t *n, const char *name)
{
    struct entry *x = entry_find(e, *n, name);

    if (x == NULL)
        return;
    node_release(x->node);
    *x = e[--*n];
}

static void entry_add(struct entry **e, uint32_t *n, const char *name, struct node *node)
{
    node->refs++;
    entry_remove(*e, n, name);
    *e = must(realloc(*e, (*n + 1) * sizeof(**e)));
    memset(&(*e)[*n], 0, sizeof(**e));
    strncpy((*e)[*n].name, name, sizeof((*e)[*n].name) - 1);
    (*e)[(*n)++].node = node;
}

static void entry_apply(struct entry **e, uint32_t *n, const struct op *op)
{
    if (op->kind == OP_ADD)
        entry_add(e, n, op->name, op->node);
    if (op->kind == OP_REMOVE)
        entry_remove(*e, n, op->name);
    if (op->kind == OP_RENAME) {
        entry_remove(*e, n, op->name);
        entry_add(e, n, op->name2, op->node);
    }
}

/* One change of a directory, now and as something still to be synced. */
static void
dir_change(struct node *dir, int kind, const char *name, const char *name2, struct node *n)
{
    struct op *op = op_add(dir, kind);

    strncpy(op->name, name, sizeof(op->name) - 1);
    if (name2 != NULL)
        strncpy(op->name2, name2, sizeof(op->name2) - 1);
    op->node = n;
    if (n != NULL)
        n->refs++;
    entry_apply(&dir->now, &dir->n_now, op);
}

static void content_write(struct node *n, const void *p, uint64_t len, uint64_t off)
{
    const uint8_t *b = p;

    if (len == 0)
        return;
    if (off + len > n->length)
        n->length = off + len;
    while (len != 0) {
        ssize_t k = pwrite(n->fd, b, len, (off_t)off);

        if (k <= 0)
            abort();
        b += k;
        off += (uint64_t)k;
        len -= (uint64_t)k;
    }
}

static void content_truncate(struct node *n, uint64_t len)
{
    if (ftruncate(n->fd, (off_t)len) != 0)
        abort();
    n->length = len;
}

static void durable_resize(struct node *n, uint64_t len)
{
    n->durable = must(realloc(n->durable, len + 1));
    if (len > n->durable_n)
        memset(n->durable + n->durable_n, 0, len - n->durable_n);
    n->durable_n = len;
}

static void durable_write(struct node *n, const uint8_t *p, uint64_t len, uint64_t off)
{
    if (len == 0)
        return;
    if (off + len > n->durable_n)
        durable_resize(n, off + len);
    memcpy(n->durable + off, p, len);
}

static void durable_apply(struct node *n, const struct op *op)
{
    if (op->kind == OP_WRITE)
        durable_write(n, op->bytes, op->n, op->off);
    else
        durable_resize(n, op->n);
}

/* --- the disk ---------------------------------------------------------------------------- */

struct mem_io *mem_io_create(void)
{
    struct mem_io *d = must(calloc(1, sizeof(*d)));

    pthread_mutex_init(&d->lock, NULL);
    d->root = node_create(1);
    d->space = UINT64_MAX;
    return d;
}

void mem_io_destroy(struct mem_io *d)
{
    node_release(d->root);
    pthread_mutex_destroy(&d->lock);
    free(d);
}

struct sx_dir *mem_io_root(struct mem_io *d)
{
    struct sx_dir *h = must(calloc(1, sizeof(*h)));

    h->d = d;
    h->node = d->root;
    d->root->refs++;
    return h;
}

void mem_io_use(struct mem_io *d)
{
    disk_in_use = d;
}

uint64_t mem_io_calls(struct mem_io *d)
{
    return d->calls;
}

uint64_t mem_io_syncs(struct mem_io *d)
{
    return d->syncs;
}

void mem_io_fail(struct mem_io *d, uint64_t nth, int code, uint32_t flags)
{
    d->fail_at = nth != 0 ? d->calls + nth : 0;
    d->fail_code = code;
    d->fail_flags = flags;
}

void mem_io_space(struct mem_io *d, uint64_t bytes)
{
    d->space = bytes;
}

void mem_io_hook(struct mem_io *d, void (*fn)(void *arg, struct mem_io *d), void *arg)
{
    d->hook = fn;
    d->hook_arg = arg;
}

/* Enters a changing call with the lock held. 0, or the code it has to fail with. */
static int enter(struct mem_io *d, struct sx_err *err, const char *what)
{
    if (d->hook != NULL)
        d->hook(d->hook_arg, d);
    pthread_mutex_lock(&d->lock);
    d->calls++;
    if (d->fail_at == 0 || d->calls < d->fail_at ||
        (d->calls > d->fail_at && (d->fail_flags & MEM_IO_STICKY) == 0))
        return SX_OK;
    return sx_err_set(err, d->fail_code, "%s: made to fail", what);
}

static int leave(struct mem_io *d, int rc)
{
    pthread_mutex_unlock(&d->lock);
    return rc;
}

/* --- power cuts -------------------------------------------------------------------------- */

/* Keeps parts of one write, in units of 512 B or 4 KiB of the file. */
static void tear(struct node *to, const struct op *op, uint64_t unit, uint64_t *random)
{
    uint64_t first = op->off / unit, n = (op->off + op->n + unit - 1) / unit - first;
    uint64_t how = next_random(random) % 3, edge = next_random(random) % (n + 1);

    for (uint64_t i = 0; i < n; i++) {
        uint64_t from = (first + i) * unit, end = from + unit;
        int keep = how == 0 ? i < edge : how == 1 ? i >= edge : next_random(random) % 2 == 0;

        if (!keep)
            continue;
        if (from < op->off)
            from = op->off;
        if (end > op->off + op->n)
            end = op->off + op->n;
        durable_write(to, op->bytes + (from - op->off), end - from, from);
    }
}

static struct node *cut_file(const struct node *n, uint64_t seed, uint64_t *random)
{
    struct node *to = node_create(0);

    durable_write(to, n->durable, n->durable_n, 0);
    for (uint32_t i = 0; i < n->n_ops; i++) {
        uint64_t how = seed < 2 ? seed : next_random(random) % 5;

        if (how == 0)
            continue;
        if (how == 1 || how == 2 || n->ops[i].kind == OP_TRUNCATE)
            durable_apply(to, &n->ops[i]);
        else
            tear(to, &n->ops[i], how == 3 ? 512 : 4096, random);
    }
    content_write(to, to->durable, to->durable_n, 0);
    return to;
}

static struct node *cut_node(const struct node *n, uint64_t seed, uint64_t *random)
{
    struct entry *e = NULL;
    uint32_t count = 0;
    struct node *to;

    if (!n->is_dir)
        return cut_file(n, seed, random);
    to = node_create(1);
    for (uint32_t i = 0; i < n->n_kept; i++)
        entry_add(&e, &count, n->kept[i].name, n->kept[i].node);
    for (uint32_t i = 0; i < n->n_ops; i++) {
        if (seed == 1 || (seed != 0 && next_random(random) % 2 == 0))
            entry_apply(&e, &count, &n->ops[i]);
    }
    for (uint32_t i = 0; i < count; i++) {
        struct node *child = cut_node(e[i].node, seed, random);

        entry_add(&to->now, &to->n_now, e[i].name, child);
        entry_add(&to->kept, &to->n_kept, e[i].name, child);
        node_release(child);
        node_release(e[i].node);
    }
    free(e);
    return to;
}

static uint64_t node_bytes(const struct node *n)
{
    uint64_t sum = n->length;

    for (uint32_t i = 0; i < n->n_now; i++)
        sum += node_bytes(n->now[i].node);
    return sum;
}

struct mem_io *mem_io_cut(struct mem_io *d, uint64_t seed)
{
    struct mem_io *to = mem_io_create();
    uint64_t random = seed * 31 + 7;

    pthread_mutex_lock(&d->lock);
    node_release(to->root);
    to->root = cut_node(d->root, seed, &random);
    to->random = seed;
    to->used = node_bytes(to->root);
    pthread_mutex_unlock(&d->lock);
    return to;
}

/* --- the table: directories -------------------------------------------------------------- */

static int io_dir_open(struct sx_dir *parent,
                       const char *name,
                       uint32_t create,
                       struct sx_dir **out,
                       struct sx_err *err)
{
    struct mem_io *d = parent != NULL ? parent->d : disk_in_use;
    struct node *at = parent != NULL ? parent->node : d->root;
    struct entry *e;
    struct node *n;
    int rc = SX_OK;

    e = entry_find(at->now, at->n_now, name);
    if (e == NULL && !create)
        return sx_err_set(err, SX_ENOTFOUND, "'%s' does not exist", name);
    if (e == NULL) {
        rc = enter(d, err, "mkdir");
        if (rc != SX_OK)
            return leave(d, rc);
        n = node_create(1);
        dir_change(at, OP_ADD, name, NULL, n);
        node_release(n);
        e = entry_find(at->now, at->n_now, name);
        (void)leave(d, rc);
    }
    if (!e->node->is_dir)
        return sx_err_set(err, SX_EIO, "'%s' is no directory", name);
    *out = must(calloc(1, sizeof(**out)));
    (*out)->d = d;
    (*out)->node = e->node;
    e->node->refs++;
    return SX_OK;
}

static void io_dir_close(struct sx_dir *h)
{
    pthread_mutex_lock(&h->d->lock);
    node_release(h->node);
    pthread_mutex_unlock(&h->d->lock);
    free(h);
}

static int io_dir_sync(struct sx_dir *h, struct sx_err *err)
{
    int rc = enter(h->d, err, "sync of a directory");

    if (rc == SX_OK) {
        for (uint32_t i = 0; i < h->node->n_ops; i++)
            entry_apply(&h->node->kept, &h->node->n_kept, &h->node->ops[i]);
        ops_clear(h->node);
        h->d->syncs++;
    }
    return leave(h->d, rc);
}

static int io_dir_list(struct sx_dir *h,
                       int (*sink)(void *arg, const char *name, uint32_t is_dir),
                       void *arg,
                       struct sx_err *err SX_UNUSED)
{
    for (uint32_t i = 0; i < h->node->n_now; i++) {
        if (sink(arg, h->node->now[i].name, h->node->now[i].node->is_dir) != 0)
            break;
    }
    return SX_OK;
}

static int
io_rename(struct sx_dir *from, const char *a, struct sx_dir *to, const char *b, struct sx_err *err)
{
    int rc = enter(from->d, err, "rename");
    struct entry *e = entry_find(from->node->now, from->node->n_now, a);
    struct entry *old = entry_find(to->node->now, to->node->n_now, b);
    struct node *n = e != NULL ? e->node : NULL;

    if (rc == SX_OK && e == NULL)
        rc = sx_err_set(err, SX_ENOTFOUND, "'%s' does not exist", a);
    if (rc != SX_OK)
        return leave(from->d, rc);
    if (old != NULL && !old->node->is_dir)
        from->d->used -= old->node->length;
    n->refs++;
    if (from->node == to->node) {
        dir_change(from->node, OP_RENAME, a, b, n);
    } else {
        dir_change(to->node, OP_ADD, b, NULL, n);
        dir_change(from->node, OP_REMOVE, a, NULL, NULL);
    }
    node_release(n);
    return leave(from->d, rc);
}

static int io_unlink(struct sx_dir *h, const char *name, struct sx_err *err)
{
    int rc = enter(h->d, err, "unlink");
    struct entry *e = entry_find(h->node->now, h->node->n_now, name);

    if (rc == SX_OK && (e == NULL || e->node->is_dir))
        rc = sx_err_set(err, SX_ENOTFOUND, "'%s' does not exist", name);
    if (rc == SX_OK) {
        h->d->used -= e->node->length;
        dir_change(h->node, OP_REMOVE, name, NULL, NULL);
    }
    return leave(h->d, rc);
}

static int io_rmdir(struct sx_dir *h, const char *name, struct sx_err *err)
{
    int rc = enter(h->d, err, "rmdir");
    struct entry *e = entry_find(h->node->now, h->node->n_now, name);

    if (rc == SX_OK && (e == NULL || !e->node->is_dir))
        rc = sx_err_set(err, SX_ENOTFOUND, "'%s' does not exist", name);
    if (rc == SX_OK && e->node->n_now != 0)
        rc = sx_err_set(err, SX_EIO, "'%s' is not empty", name);
    if (rc == SX_OK)
        dir_change(h->node, OP_REMOVE, name, NULL, NULL);
    return leave(h->d, rc);
}

static int io_remove_tree(struct sx_dir *h, const char *name, struct sx_err *err)
{
    int rc = enter(h->d, err, "remove");
    struct entry *e = entry_find(h->node->now, h->node->n_now, name);

    if (rc == SX_OK && e != NULL) {
        h->d->used -= node_bytes(e->node);
        dir_change(h->node, OP_REMOVE, name, NULL, NULL);
    }
    return leave(h->d, rc);
}

/* --- the table: files -------------------------------------------------------------------- */

static int io_open(
    struct sx_dir *h, const char *name, uint32_t flags, struct sx_file **out, struct sx_err *err)
{
    struct entry *e = entry_find(h->node->now, h->node->n_now, name);
    struct node *n;
    int rc;

    if (e != NULL && (flags & SX_IO_EXCL) != 0)
        return sx_err_set(err, SX_EEXIST, "'%s' exists", name);
    if (e == NULL && (flags & SX_IO_CREATE) == 0)
        return sx_err_set(err, SX_ENOTFOUND, "'%s' does not exist", name);
    if (e == NULL) {
        rc = enter(h->d, err, "create");
        if (rc != SX_OK)
            return leave(h->d, rc);
        n = node_create(0);
        dir_change(h->node, OP_ADD, name, NULL, n);
        node_release(n);
        e = entry_find(h->node->now, h->node->n_now, name);
        (void)leave(h->d, rc);
    }
    if (e->node->is_dir)
        return sx_err_set(err, SX_EIO, "'%s' is a directory", name);
    *out = must(calloc(1, sizeof(**out)));
    (*out)->d = h->d;
    (*out)->node = e->node;
    e->node->refs++;
    return SX_OK;
}

static void io_close(struct sx_file *f)
{
    pthread_mutex_lock(&f->d->lock);
    node_release(f->node);
    pthread_mutex_unlock(&f->d->lock);
    free(f);
}

static int64_t io_length(struct sx_file *f, struct sx_err *err SX_UNUSED)
{
    return (int64_t)f->node->length;
}

static int64_t
io_pread(struct sx_file *f, void *p, uint64_t n, uint64_t off, struct sx_err *err SX_UNUSED)
{
    uint64_t got = 0;

    while (got < n) {
        ssize_t k = pread(f->node->fd, (uint8_t *)p + got, n - got, (off_t)(off + got));

        if (k <= 0)
            break;
        got += (uint64_t)k;
    }
    return (int64_t)got;
}

static void file_write(struct sx_file *f, const void *p, uint64_t n, uint64_t off)
{
    struct op *op = op_add(f->node, OP_WRITE);
    uint64_t before = f->node->length;

    op->off = off;
    op->n = n;
    op->bytes = must(malloc(n + 1));
    if (n != 0)
        memcpy(op->bytes, p, n);
    content_write(f->node, p, n, off);
    f->d->used += f->node->length - before;
}

static int io_pwrite(struct sx_file *f, const void *p, uint64_t n, uint64_t off, struct sx_err *err)
{
    int rc = enter(f->d, err, "write");
    uint64_t end = off + n > f->node->length ? off + n : f->node->length;

    if (rc != SX_OK) {
        if (f->d->fail_flags & MEM_IO_WHOLE)
            file_write(f, p, n, off);
        else if (f->d->fail_flags & MEM_IO_SHORT)
            file_write(f, p, n / 2, off);
    } else if (end - f->node->length >
               f->d->space - (f->d->used < f->d->space ? f->d->used : f->d->space)) {
        uint64_t room = f->d->used < f->d->space ? f->d->space - f->d->used : 0;
        uint64_t fits = f->node->length + room > off ? f->node->length + room - off : 0;

        file_write(f, p, fits < n ? fits : n, off);
        rc = sx_err_set(err, SX_ENOSPACE, "no space left");
    } else {
        file_write(f, p, n, off);
    }
    return leave(f->d, rc);
}

static int io_truncate(struct sx_file *f, uint64_t n, struct sx_err *err)
{
    int rc = enter(f->d, err, "truncate");

    if (rc == SX_OK) {
        f->d->used += n;
        f->d->used -= f->node->length;
        op_add(f->node, OP_TRUNCATE)->n = n;
        content_truncate(f->node, n);
    }
    return leave(f->d, rc);
}

static int io_allocate(struct sx_file *f, uint64_t off, uint64_t n, struct sx_err *err)
{
    return off + n > f->node->length ? io_truncate(f, off + n, err) : SX_OK;
}

static int io_datasync(struct sx_file *f, struct sx_err *err)
{
    int rc = enter(f->d, err, "sync");

    if (rc != SX_OK)
        f->d->random += f->d->calls; /* another outcome at another place */
    for (uint32_t i = 0; i < f->node->n_ops; i++) {
        /* A failed sync leaves each write on the disk or gives it up. */
        if (rc == SX_OK || next_random(&f->d->random) % 2 == 0)
            durable_apply(f->node, &f->node->ops[i]);
    }
    ops_clear(f->node);
    if (rc == SX_OK)
        f->d->syncs++;
    return leave(f->d, rc);
}

static int
io_map(struct sx_file *f, uint64_t off, uint64_t n, void *at, void **out, struct sx_err *err)
{
    void *p =
        mmap(at, n, PROT_READ, MAP_SHARED | (at != NULL ? MAP_FIXED : 0), f->node->fd, (off_t)off);

    if (p == MAP_FAILED)
        return sx_err_set(err, SX_ENOMEM, "mmap");
    *out = p;
    return SX_OK;
}

static void io_unmap(void *p, uint64_t n)
{
    (void)munmap(p, n);
}

static int io_reserve(uint64_t n, void **out, struct sx_err *err)
{
    void *p = mmap(NULL, n, PROT_NONE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);

    if (p == MAP_FAILED)
        return sx_err_set(err, SX_ENOMEM, "mmap");
    *out = p;
    return SX_OK;
}

static int io_advise(void *p SX_UNUSED, uint64_t n SX_UNUSED, uint32_t what SX_UNUSED)
{
    return SX_OK;
}

const struct sx_io *mem_io_table(void)
{
    static const struct sx_io table = {
        .size = sizeof(struct sx_io),
        .dir_open = io_dir_open,
        .dir_close = io_dir_close,
        .dir_sync = io_dir_sync,
        .dir_list = io_dir_list,
        .rename = io_rename,
        .unlink = io_unlink,
        .rmdir = io_rmdir,
        .remove_tree = io_remove_tree,
        .open = io_open,
        .close = io_close,
        .length = io_length,
        .pread = io_pread,
        .pwrite = io_pwrite,
        .truncate = io_truncate,
        .allocate = io_allocate,
        .datasync = io_datasync,
        .sync = io_datasync,
        .map = io_map,
        .unmap = io_unmap,
        .reserve = io_reserve,
        .advise = io_advise,
    };

    return &table;
}
