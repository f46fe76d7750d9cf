/* The instance of a storage module: what it asks of the host. There is nothing to configure and
 * nothing to start; files come with their own table (sx_io) at open. */
#include "store.h"

/* Last: it poisons names. */
#include "sextant/sx_ban.h"

int store_module_load(const struct sx_host *host,
                      struct store_module *self,
                      uint32_t mode,
                      struct sx_err *err)
{
    self->host = host;
    self->mem = host->mem;
    self->mode = mode;
    self->epoch = host->get(host, "sx.epoch", (uint32_t)sizeof(struct sx_epoch));
    self->exec = host->get(host, "sx.exec", (uint32_t)sizeof(struct sx_exec));
    if (!self->epoch || !self->exec)
        return sx_err_set(err, SX_EABI, "the host lacks sx.epoch or sx.exec");
    return SX_OK;
}
