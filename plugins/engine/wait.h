/* Writes that wait: for their sync, for an index to be built, for their points to be shown. Each
 * waits no longer than its deadline (op->deadline_ns: the request's timeout or the server's); then
 * it is answered with the status WAIT_TIMEOUT, while the change goes its way. So a disk that hangs
 * does not hold clients.
 *
 * One task looks at all open shards every 250 ms while anybody waits, and not at all otherwise: a
 * timer for each write would cost more than most writes wait. */
#ifndef ENG_WAIT_H
#define ENG_WAIT_H

#include "engine.h"

struct eng_shard;

/* [A] A call was put on a shard's list of waiting calls. */
void eng_wait_begun(struct eng *e);
/* [S] The call's points are hidden: it waits until they are shown. */
void eng_wait_hidden(struct eng_shard *s, struct eng_call *c);
/* [S] All points are shown: those calls go on. */
void eng_wait_shown(struct eng_shard *s);

#endif
