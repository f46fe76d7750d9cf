/* Query strings of operations: wait, ordering, timeout, consistency. */
#ifndef REST_QUERY_H
#define REST_QUERY_H

#include "sextant/sx_op.h"

/* Reads what the operation knows out of the undecoded query string into op (flags, ordering,
 * timeout_ms, consistency); unknown names are ignored. For INDEX_DELETE the field in op->name
 * becomes op->args first. op->arena is used. 0, or SX_EINPUT / SX_EVALID with the whole
 * text for the client (prefix included) in *text, or SX_ENOMEM. */
int rest_query_parse(struct sx_op *op, struct sx_str query, struct sx_str *text);

#endif
