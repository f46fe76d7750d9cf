/* index-flat: exact search by scanning, the answer every other index is measured against.
 *
 * Used for small collections, for `exact` searches, for filters so narrow that a scan of the
 * matches is cheapest, and for nodes another index has not taken in yet. Takes memory and the clock
 * from the host; has no configuration. */
#include "sextant/sx_plugin.h"

#include "flat.h"

/* Last: it poisons names. */
#include "sextant/sx_ban.h"

static int flat_load(const struct sx_host *host, void *self, struct sx_err *err)
{
    struct flat_plugin *p = self;
    p->mem = host->mem;
    p->time = host->get(host, "sx.time", (uint32_t)sizeof(struct sx_time));
    if (p->mem == NULL || p->time == NULL)
        return sx_err_set(err, SX_EABI, "the host lacks service sx.mem or sx.time");
    return SX_OK;
}

static const struct sx_provide flat_provides[] = {
    {
        .size = (uint32_t)sizeof(struct sx_provide),
        .kind = SX_KIND_INDEX,
        .iface_version = SX_INDEX_IFACE,
        .name = "flat",
        .caps = SX_INDEX_INCREMENTAL | SX_INDEX_PARALLEL_INSERT | SX_INDEX_MASK | SX_INDEX_RANGE |
                SX_INDEX_RESUME | SX_INDEX_MULTI_QUERY | SX_INDEX_EXACT,
        .ops = &flat_ops,
    },
};

SX_PLUGIN(index_flat, "index-flat kinds=index abi=1.0 build=" SX_BUILD_ID) = {
    SX_PLUGIN_HEAD(index_flat),
    .name = "index-flat",
    .version = "1.0.0",
    .licence = "Apache-2.0",
    .summary = "Exact nearest neighbours by scanning all vectors",
    .provides = flat_provides,
    .n_provides = SX_COUNT(flat_provides),
    .instance_size = (uint32_t)sizeof(struct flat_plugin),
    .load = flat_load,
};
