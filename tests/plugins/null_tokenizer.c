/* A tokenizer that does not split: a text is one token.
 *
 * It proves that the header can be implemented and the module loaded. */
#include "sextant/sx_plugin.h"
#include "sextant/sx_tokenizer.h"

/* Last: it poisons names. */
#include "sextant/sx_ban.h"

static int nullt_open(void *self, struct sx_doc params, void **out, struct sx_err *err)
{
    if (sx_doc_type(params) != SX_DOC_NULL && sx_doc_count(params) > 0)
        return sx_err_set(err, SX_EINPUT, "tokenizer 'null' has no parameters");
    *out = self; /* no state of its own */
    return SX_OK;
}

static void nullt_close(void *self, void *h)
{
    (void)self;
    (void)h;
}

static uint64_t nullt_version(void *self, void *h)
{
    (void)self;
    (void)h;
    return 1;
}

static uint64_t nullt_scratch(void *self, void *h)
{
    (void)self;
    (void)h;
    return 0;
}

static int nullt_split(void *self,
                       void *h,
                       struct sx_str text,
                       void *scratch,
                       struct sx_buf *buf,
                       int (*sink)(void *arg, const struct sx_token *t),
                       void *arg,
                       struct sx_err *err)
{
    struct sx_token t = {.size = (uint32_t)sizeof(t), .p = text.p, .n = text.n};

    (void)self;
    (void)h;
    (void)scratch;
    (void)buf;
    (void)err;
    return text.n != 0 ? sink(arg, &t) : SX_OK;
}

static const struct sx_tokenizer_ops nullt_ops = {
    .size = (uint32_t)sizeof(struct sx_tokenizer_ops),
    .open = nullt_open,
    .close = nullt_close,
    .version = nullt_version,
    .scratch_size = nullt_scratch,
    .split = nullt_split,
};

static const struct sx_provide nullt_provides[] = {
    {
        .size = (uint32_t)sizeof(struct sx_provide),
        .kind = SX_KIND_TOKENIZER,
        .iface_version = SX_TOKENIZER_IFACE,
        .name = "null",
        .caps = SX_TOKENIZER_POSITIONS,
        .ops = &nullt_ops,
    },
};

SX_PLUGIN(null_tokenizer, "null-tokenizer kinds=tokenizer abi=1.0 build=" SX_BUILD_ID) = {
    SX_PLUGIN_HEAD(null_tokenizer),
    .flags = SX_PLUGIN_TEST_ONLY,
    .name = "null-tokenizer",
    .version = "1.0.0",
    .licence = "Apache-2.0",
    .summary = "A text is one token",
    .provides = nullt_provides,
    .n_provides = SX_COUNT(nullt_provides),
    .instance_size = 64,
};
