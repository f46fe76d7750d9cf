/* Shared by the files of the fake host: one table per service, one init and fini per file. */
#ifndef SX_FAKE_FAKE_H
#define SX_FAKE_FAKE_H

#include "sx_fake_host.h"

extern const struct sx_exec sx_fake__exec;
extern const struct sx_epoch sx_fake__epoch;
extern const struct sx_io sx_fake__io;
extern const struct sx_telem sx_fake__telem;

int sx_fake__exec_init(uint32_t flags); /* 0 or SX_ENOMEM */
void sx_fake__exec_fini(void);          /* runs what is queued, ends the thread */
void sx_fake__epoch_fini(void);         /* frees what is retired */
void sx_fake__io_init(void);
void sx_fake__telem_fini(void);

/* fake_conf.c: the bytes of a module's configuration struct from its keys' defaults. The strings
 * are the keys' own. SX_EINPUT when a default does not parse. */
int sx_fake__conf_defaults(const struct sx_plugin *p, void *conf, struct sx_err *err);

#endif
