/* The first bytes of every file: sealing and checking `struct sx_file_head` (sx_storage.h).
 *
 * Pure functions over caller's memory, any thread. Whoever opens a file reads its first page, calls
 * sx_file_head_check() and then compares what only it can know: collection, shard, generation,
 * number and stride. Numbers are little-endian as the machine writes them; a big-endian reader sees
 * a wrong magic and stops there. */
#include "sextant/sx_storage.h"
#include "sextant/sx_text.h"

static uint32_t head_crc(const struct sx_file_head *h)
{
    return sx_crc32c(0, h, offsetof(struct sx_file_head, crc));
}

void sx_file_head_seal(struct sx_file_head *h)
{
    h->magic = SX_FILE_MAGIC;
    h->crc = head_crc(h);
}

int sx_file_head_check(const struct sx_file_head *h,
                       uint32_t kind,
                       uint32_t max_version,
                       struct sx_err *err)
{
    /* Magic before checksum: a file of something else is told apart from a damaged one of ours. */
    if (h->magic != SX_FILE_MAGIC)
        return sx_err_set(err, SX_ECORRUPT, "not a file of this server (offset 0)");
    if (h->crc != head_crc(h))
        return sx_err_set(err, SX_ECORRUPT, "damaged file header (offset 0)");
    if (h->kind != kind)
        return sx_err_set(err, SX_ECORRUPT,
                          "file header of kind %u where kind %u is expected (offset 8)", h->kind,
                          kind);
    if (h->version > max_version)
        return sx_err_set(err, SX_ECORRUPT,
                          "file format version %u is newer than this server's %u (offset 12)",
                          h->version, max_version);
    return SX_OK;
}
