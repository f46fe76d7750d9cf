/* tokenizer-icu: the `multilingual` tokenizer, on the word breaks and dictionaries of ICU.
 *
 * A file beside the binary: the library's data are 30 MB, mapped with the module and read when the
 * first field asks for this tokenizer. The library allocates with malloc(); that memory (a break
 * iterator per scratch, a few kilobytes while a dictionary is asked) stands in no account of the
 * host.
 */
#include "sextant/sx_plugin.h"

#include "tokicu.h"

/* Last: it poisons names. */
#include "sextant/sx_ban.h"

static int tokicu_load(const struct sx_host *host, void *self, struct sx_err *err)
{
    struct tokicu_plugin *p = self;
    p->host = host;
    p->mem = host->mem;
    if (p->mem == NULL)
        return sx_err_set(err, SX_EABI, "the host lacks service sx.mem");
    return SX_OK;
}

static int tokicu_start(void *self, struct sx_err *err)
{
    struct tokicu_plugin *p = self;
    if (pthread_mutex_init(&p->lock, NULL) != 0)
        return sx_err_set(err, SX_ENOMEM, "no memory for a lock");
    return SX_OK;
}

static void tokicu_stop(void *self)
{
    struct tokicu_plugin *p = self;
    pthread_mutex_destroy(&p->lock);
}

static const struct sx_tokenizer_ops tokicu_ops = {
    .size = (uint32_t)sizeof(struct sx_tokenizer_ops),
    .open = tokicu_open,
    .close = tokicu_close,
    .version = tokicu_version,
    .scratch_size = tokicu_scratch_size,
    .scratch_end = tokicu_scratch_end,
    .split = tokicu_split,
};

static const struct sx_provide tokicu_provides[] = {
    {
        .size = (uint32_t)sizeof(struct sx_provide),
        .kind = SX_KIND_TOKENIZER,
        .iface_version = SX_TOKENIZER_IFACE,
        .name = "multilingual",
        .caps = SX_TOKENIZER_TRANSFORMS | SX_TOKENIZER_POSITIONS,
        .ops = &tokicu_ops,
    },
};

SX_PLUGIN(tokenizer_icu, "tokenizer-icu kinds=tokenizer abi=1.0 build=" SX_BUILD_ID) = {
    SX_PLUGIN_HEAD(tokenizer_icu),
    .name = "tokenizer-icu",
    .version = "1.0.0",
    .licence = "Apache-2.0",
    .summary = "Words of texts in any script, with ICU's dictionaries",
    .provides = tokicu_provides,
    .n_provides = SX_COUNT(tokicu_provides),
    .instance_size = (uint32_t)sizeof(struct tokicu_plugin),
    .load = tokicu_load,
    .start = tokicu_start,
    .stop = tokicu_stop,
};
