/* Paths: first split into segments, then each segment decoded on its own. */
#ifndef REST_PATH_H
#define REST_PATH_H

#include "sextant/sx_mem.h"

#define REST_SEGMENTS_MAX 12u

/* Splits at slashes; empty segments (repeated and trailing slashes) vanish. "." and ".." are names
 * like any other. Borrowed pointers into path. Returns the count, or -1 when there are more than
 * REST_SEGMENTS_MAX: no route is that long. */
int rest_path_split(struct sx_str path, struct sx_str *segments);
/* "/a/b" of the segments from first on, undecoded, in the arena; p NULL: memory. */
struct sx_str
rest_path_join(struct sx_arena *a, const struct sx_str *segments, uint32_t first, uint32_t n);
/* Percent-decodes one segment; what is no valid escape stays as it is. Borrows the input when there
 * is nothing to decode. 0, SX_EINPUT when the result is no UTF-8, or SX_ENOMEM. */
int rest_path_decode(struct sx_arena *a, struct sx_str segment, struct sx_str *out);
/* The same for a name or value of a query string, where "+" is a blank. */
int rest_query_decode(struct sx_arena *a, struct sx_str text, struct sx_str *out);

/* The whole text of the 422 for a collection name, p NULL when the name is fine. strict: the set
 * for new names. In the arena. */
struct sx_str rest_name_check(struct sx_arena *a, struct sx_str name, int strict);
/* The same for a vector name in the path. */
struct sx_str rest_vector_name_check(struct sx_arena *a, struct sx_str name);

#endif
