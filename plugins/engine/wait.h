/* Writes that wait: for their sync, for an index to be built. Each waits no longer than its
 * deadline (op->deadline_ns: the request's timeout or the server's); then it is answered with the
 * status WAIT_TIMEOUT, while the change goes its way. So a disk that hangs does not hold clients.
 *
 * One task looks at all open shards every 250 ms while anybody waits, and not at all otherwise: a
 * timer for each write would cost more than most writes wait. */
#ifndef ENG_WAIT_H
#define ENG_WAIT_H

#include "engine.h"

/* [A] A call was put on a shard's list of waiting calls. */
void eng_wait_begun(struct eng *e);

#endif
