/* A module that is in order until it is called. */
#include "sextant/sx_service.h"

#include "bad_common.h"

static const struct sx_provide provides[] = {BAD_PROVIDE("CrashInLoad")};

static int load(const struct sx_host *host, void *self, struct sx_err *err)
{
    (void)self;
    (void)err;
    /* The feature bits are small: as an address they lie in the page that is never mapped. */
    volatile uint32_t *nowhere = (volatile uint32_t *)(uintptr_t)(host->features & 0xff8);
    *nowhere = 1;
    return SX_OK;
}

SX_PLUGIN(crash_in_load, "crash-in-load kinds=distance abi=1.0") = {
    BAD_HEAD(crash_in_load, "crash-in-load"),
    .provides = provides,
    .n_provides = SX_COUNT(provides),
    .load = load,
};
