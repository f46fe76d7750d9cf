/* Blob by blob through a segment, for verify.
 *
 * The block checksums cover every byte, lengths and padding too; the walk adds what they cannot
 * see: a blob that was already wrong when it was written, or a chain of lengths that does not end
 * where the segment does. It is fed block by block (struct store_each), so a blob may arrive in
 * many pieces; its head never does, because blobs begin at multiples of 8 and blocks end at such.
 */
#include <string.h>

#include "sextant/sx_text.h"

#include "store.h"

/* Last: it poisons names. */
#include "sextant/sx_ban.h"

int store_walk_block(void *arg, const uint8_t *p, uint32_t n, uint64_t at, struct sx_err *err)
{
    struct store_walk *w = arg;
    uint32_t i = 0, head[2];

    while (i < n) {
        uint64_t run;

        if (w->left == 0) {
            if (n - i >= sizeof(head))
                memcpy(head, p + i, sizeof(head));
            if (n - i < sizeof(head) || store_blob_room(head[0]) > w->end - at - i)
                return sx_err_set(err, SX_ECORRUPT, "blob without end at offset %llu",
                                  (unsigned long long)(SX_FILE_HEAD_BYTES + at + i));
            w->left = store_blob_room(head[0]) - sizeof(head);
            w->body = head[0];
            w->want = head[1];
            w->crc = 0;
            i += (uint32_t)sizeof(head);
        }
        run = w->body < n - i ? w->body : n - i;
        w->crc = sx_crc32c(w->crc, p + i, run);
        w->body -= (uint32_t)run;
        if (w->body == 0 && w->crc != w->want)
            return sx_err_set(err, SX_ECORRUPT,
                              "wrong checksum of the blob that ends at offset %llu",
                              (unsigned long long)(SX_FILE_HEAD_BYTES + at + i + run));
        run = w->left < n - i ? w->left : n - i;
        w->left -= run;
        i += (uint32_t)run;
    }
    return SX_OK;
}
