/* Parts of payloads: with_payload as a list of paths, include or exclude.
 *
 * A payload is walked from the top; the path of a node has [] for every array element, so a pattern
 * with [n] never matches. include keeps a node when some pattern agrees with its path as far as
 * both go; exclude drops a node when some pattern is its path or the beginning of it. Containers
 * that become empty stay, keys keep their order. Used by one thread at a time. */
#ifndef ENG_PROJECT_H
#define ENG_PROJECT_H

#include "engine.h"

struct eng_projection;

/* sel: mode INCLUDE or EXCLUDE. *out lies in the arena. SX_EINPUT for a text that is no path,
 * SX_ENOMEM. */
int eng_projection_create(const struct sx_selector *sel,
                          struct sx_arena *arena,
                          struct eng_projection **out,
                          struct sx_err *err);
/* The kept part of a payload as a new document in the arena; mem is for the work only. 0 or
 * SX_ENOMEM. */
int eng_project(const struct eng_projection *p,
                struct sx_doc d,
                const struct sx_mem *mem,
                struct sx_arena *arena,
                struct sx_doc *out);

#endif
