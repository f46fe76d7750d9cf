/* index-mine: a skeleton that works. Rename "mine" to your own name in this folder and begin. */
#include "mine.h"

#include "sextant/sx_plugin.h"

static int mine_load(const struct sx_host *host, void *self, struct sx_err *err)
{
    struct mine_plugin *p = self; /* instance_size bytes, zeroed */
    p->host = host;
    p->mem = host->mem;
    p->time = host->get(host, "sx.time", (uint32_t)sizeof(struct sx_time));
    if (p->time == NULL)
        return sx_err_set(err, SX_EABI, "the host lacks service sx.time");
    return SX_OK;
}

static const struct sx_provide mine_provides[] = {
    {
        .size = (uint32_t)sizeof(struct sx_provide),
        .kind = SX_KIND_INDEX,
        .iface_version = SX_INDEX_IFACE,
        .name = "mine",
        /* Promise what the code keeps and no more: sextant-plugin-check tests every bit. */
        .caps = SX_INDEX_INCREMENTAL | SX_INDEX_MASK | SX_INDEX_RESUME | SX_INDEX_EXACT,
        .ops = &mine_ops,
    },
};

SX_PLUGIN(index_mine, "index-mine kinds=index abi=1.0") = {
    SX_PLUGIN_HEAD(index_mine),
    .name = "index-mine",
    .version = "0.1.0",
    .licence = "Apache-2.0",
    .summary = "A skeleton: exact search by scanning",
    .provides = mine_provides,
    .n_provides = SX_COUNT(mine_provides),
    .instance_size = (uint32_t)sizeof(struct mine_plugin),
    .load = mine_load,
};
