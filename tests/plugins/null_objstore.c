/* An object store that is always empty: what is committed is counted and forgotten.
 *
 * It proves that the header can be implemented and the module loaded, and shows the life of the two
 * handles: every begin ends with exactly one commit or abort. */
#include "sextant/sx_objstore.h"
#include "sextant/sx_plugin.h"

/* Last: it poisons names. */
#include "sextant/sx_ban.h"

struct nullo_self {
    const struct sx_mem *mem;
};

struct nullo_put {
    const uint32_t *cancel;
    uint64_t bytes;
};

static int nullo_load(const struct sx_host *host, void *self, struct sx_err *err)
{
    struct nullo_self *s = self;

    s->mem = host->mem;
    return s->mem != NULL ? SX_OK : sx_err_set(err, SX_EABI, "the host lacks service sx.mem");
}

static int nullo_check(void *self, const struct sx_objstore_conf *conf, struct sx_err *err)
{
    (void)self;
    (void)conf;
    (void)err;
    return SX_OK;
}

static int
nullo_open(void *self, const struct sx_objstore_conf *conf, void **out, struct sx_err *err)
{
    (void)conf;
    (void)err;
    *out = self; /* no state of its own */
    return SX_OK;
}

static void nullo_close(void *self, void *store)
{
    (void)self;
    (void)store;
}

static int nullo_cancelled(const uint32_t *cancel, struct sx_err *err)
{
    if (cancel == NULL || __atomic_load_n(cancel, __ATOMIC_RELAXED) == 0)
        return SX_OK;
    return sx_err_set(err, SX_ECANCELED, "the transfer was cancelled");
}

static int nullo_put_begin(void *self,
                           void *store,
                           struct sx_str name,
                           const struct sx_objstore_put *how,
                           void **out,
                           struct sx_err *err)
{
    struct nullo_self *s = self;
    struct nullo_put *put;

    (void)store;
    if (name.n == 0)
        return sx_err_set(err, SX_EINPUT, "an object needs a name");
    put = s->mem->zalloc(s->mem, sizeof(*put));
    if (put == NULL)
        return sx_err_set(err, SX_ENOMEM, "no memory for an upload");
    put->cancel = how != NULL ? how->cancel : NULL;
    *out = put;
    return SX_OK;
}

static int nullo_put_write(void *self, void *put, const void *p, uint64_t n, struct sx_err *err)
{
    struct nullo_put *w = put;
    int rc;

    (void)self;
    (void)p;
    rc = nullo_cancelled(w->cancel, err);
    if (rc == SX_OK)
        w->bytes += n;
    return rc;
}

static void nullo_put_abort(void *self, void *put)
{
    struct nullo_self *s = self;

    s->mem->release(s->mem, put);
}

static int nullo_put_commit(
    void *self, void *put, const uint8_t *sha256, struct sx_objstore_stat *out, struct sx_err *err)
{
    struct nullo_put *w = put;
    int rc;

    (void)sha256;
    rc = nullo_cancelled(w->cancel, err);
    if (rc == SX_OK && out != NULL) {
        out->bytes = w->bytes;
        out->has_sha256 = 0;
        out->modified_s = 0;
    }
    nullo_put_abort(self, put);
    return rc;
}

static int nullo_get_open(void *self,
                          void *store,
                          struct sx_str name,
                          uint64_t off,
                          uint64_t n,
                          const uint32_t *cancel,
                          void **out,
                          struct sx_err *err)
{
    (void)self;
    (void)store;
    (void)off;
    (void)n;
    (void)cancel;
    (void)out;
    return sx_err_set(err, SX_ENOTFOUND, "no object %.*s", (int)name.n, name.p);
}

static int64_t nullo_get_read(void *self, void *get, void *p, uint64_t n, struct sx_err *err)
{
    (void)self;
    (void)get;
    (void)p;
    (void)n;
    return sx_err_set(err, SX_ENOTFOUND, "nothing is open");
}

static void nullo_get_close(void *self, void *get)
{
    (void)self;
    (void)get;
}

static int nullo_stat(void *self,
                      void *store,
                      struct sx_str name,
                      const uint32_t *cancel,
                      struct sx_objstore_stat *out,
                      struct sx_err *err)
{
    (void)self;
    (void)store;
    (void)cancel;
    (void)out;
    return sx_err_set(err, SX_ENOTFOUND, "no object %.*s", (int)name.n, name.p);
}

static int nullo_list(void *self,
                      void *store,
                      struct sx_str prefix,
                      const uint32_t *cancel,
                      int (*sink)(void *arg, struct sx_str name, const struct sx_objstore_stat *st),
                      void *arg,
                      struct sx_err *err)
{
    (void)self;
    (void)store;
    (void)prefix;
    (void)sink;
    (void)arg;
    return nullo_cancelled(cancel, err);
}

static int nullo_remove(
    void *self, void *store, struct sx_str name, const uint32_t *cancel, struct sx_err *err)
{
    (void)self;
    (void)store;
    (void)cancel;
    return sx_err_set(err, SX_ENOTFOUND, "no object %.*s", (int)name.n, name.p);
}

static const struct sx_objstore_ops nullo_ops = {
    .size = (uint32_t)sizeof(struct sx_objstore_ops),
    .check_conf = nullo_check,
    .open = nullo_open,
    .close = nullo_close,
    .put_begin = nullo_put_begin,
    .put_write = nullo_put_write,
    .put_commit = nullo_put_commit,
    .put_abort = nullo_put_abort,
    .get_open = nullo_get_open,
    .get_read = nullo_get_read,
    .get_close = nullo_get_close,
    .stat = nullo_stat,
    .list = nullo_list,
    .remove = nullo_remove,
};

static const struct sx_provide nullo_provides[] = {
    {
        .size = (uint32_t)sizeof(struct sx_provide),
        .kind = SX_KIND_OBJSTORE,
        .iface_version = SX_OBJSTORE_IFACE,
        .name = "null",
        .caps = SX_OBJSTORE_LIST | SX_OBJSTORE_RANGE_GET,
        .ops = &nullo_ops,
    },
};

SX_PLUGIN(null_objstore, "null-objstore kinds=objstore abi=1.0 build=" SX_BUILD_ID) = {
    SX_PLUGIN_HEAD(null_objstore),
    .flags = SX_PLUGIN_TEST_ONLY,
    .name = "null-objstore",
    .version = "1.0.0",
    .licence = "Apache-2.0",
    .summary = "A store that forgets everything",
    .provides = nullo_provides,
    .n_provides = SX_COUNT(nullo_provides),
    .instance_size = (uint32_t)sizeof(struct nullo_self),
    .load = nullo_load,
};
