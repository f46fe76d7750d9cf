/* Quotas: growing writes are refused while the node's memory or disk is used beyond a limit.
 *
 *   quota.json   what PUT /quotas set last; from then on it beats the configuration file
 *
 * A resource that reached its limit stays refused until it is used less by the margin. What shrinks
 * data (deleting points, vectors, payload, indexes, collections) and what reads is never refused.
 *
 * Cost: without an enforced limit one relaxed load a write; with one a look at the clock, and every
 * five seconds one statvfs and two small files of /proc.
 *
 * Threads: any, but for create, destroy [M] and set [blocking]. */
#ifndef ENG_QUOTA_H
#define ENG_QUOTA_H

#include "engine.h"

struct eng_quota;

int eng_quota_create(struct eng *e, struct eng_quota **out, struct sx_err *err); /* [M] */
void eng_quota_destroy(struct eng_quota *q);                                     /* [M] */
/* 0, or ENOSPACE with the client's text: for writes that grow what is stored. */
int eng_quota_refuses(struct eng_quota *q, struct sx_err *err);
/* The body of PUT /quotas: durable, then in force. */
int eng_quota_set(struct eng_quota *q, struct sx_doc body, struct sx_err *err);
/* {"config", "usage"} as one value, with fresh readings. */
void eng_quota_put(struct eng_quota *q, struct sx_docb *b);
/* Samples: which enforced limits are reached. */
void eng_quota_collect(struct eng_quota *q, struct sx_sample_sink *k);

#endif
