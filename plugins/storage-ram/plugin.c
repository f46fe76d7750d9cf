/* storage-ram: rows and blobs read from anonymous memory.
 *
 * The same files as storage-mmap, written the same way; they are read whole at open, checked on the
 * way, and served from memory that the kernel cannot take away and may back by huge pages.
 * Everything but this descriptor is shared (../storage-common/store.h). */
#include "../storage-common/store.h"

/* Last: it poisons names. */
#include "sextant/sx_ban.h"

static int load(const struct sx_host *host, void *self, struct sx_err *err)
{
    return store_module_load(host, self, STORE_RAM, err);
}

static const struct sx_provide provides[] = {
    {
        .size = (uint32_t)sizeof(struct sx_provide),
        .kind = SX_KIND_ROWS,
        .iface_version = SX_ROWS_IFACE,
        .name = "ram",
        .caps = SX_STORAGE_ADDRESSABLE | SX_STORAGE_PERSIST | SX_STORAGE_ASYNC_FLUSH,
        .ops = &store_rows_ops,
    },
    {
        .size = (uint32_t)sizeof(struct sx_provide),
        .kind = SX_KIND_BLOBS,
        .iface_version = SX_BLOBS_IFACE,
        .name = "ram",
        .caps = SX_STORAGE_PERSIST | SX_STORAGE_ASYNC_FLUSH,
        .ops = &store_blobs_ops,
    },
};

SX_PLUGIN(storage_ram, "storage-ram kinds=rows,blobs abi=1.0 build=" SX_BUILD_ID) = {
    SX_PLUGIN_HEAD(storage_ram),
    .name = "storage-ram",
    .version = "1.0.0",
    .licence = "Apache-2.0",
    .summary = "rows and blobs read from memory, kept in files",
    .provides = provides,
    .n_provides = SX_COUNT(provides),
    .instance_size = (uint32_t)sizeof(struct store_module),
    .load = load,
};
