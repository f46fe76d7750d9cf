/* The service "sx.req": what stands between transports and the engine. */
#ifndef SX_KERNEL_REQ_H
#define SX_KERNEL_REQ_H

#include "sextant/sx_op.h"

#include "conf.h"
#include "registry.h"

/* [M] static; add it with sx_host_service() before modules are loaded. */
const struct sx_req *sx_req_table(void);

/* [M] Refuses when a key of the configuration demands authentication and no module of kind auth
 * has that key in its table. */
int sx_req_check_auth(const struct sx_conf *c, const struct sx_registry *r, struct sx_err *err);
/* [M] after solve, before threads. */
void sx_req_init(const struct sx_registry *r, uint64_t read_timeout_s);
/* [M, A] the default deadline of reads; 0 = none. */
void sx_req_read_timeout(uint64_t seconds);
/* [A] operations submitted and not answered. */
uint64_t sx_req_open(void);
/* [A] from now on new operations are refused: the process is going down. */
void sx_req_close(void);
void sx_req_fini(void);

#endif
