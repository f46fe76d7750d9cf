/* What the payload operations make of one payload: set, set at a path, delete keys.
 *
 * Pure functions from document to document. An old payload with p NULL is {}. The result is built
 * in `out`, which the caller has initialised (its content is dropped) and ends with sx_docb_end().
 *
 * Order of members: what is new comes at the end; removing one moves the last into its place. Keys
 * are taken one after the other, as if each were an operation of its own.
 *
 * Errors: SX_ENOMEM; SX_EINPUT when the result would be nested deeper than documents may be. Work
 * is n log n in members and keys, whatever the keys are; a key with [] is work for every element.
 * Thread: any. */
#ifndef ENG_PAYLOAD_EDIT_H
#define ENG_PAYLOAD_EDIT_H

#include "sextant/sx_path.h"

/* Merges patch (an object) into the object at key; key NULL or without steps = the payload itself.
 * A member that is null removes that member, any other replaces it entirely. On the way missing
 * members are made, what is no object becomes one, what should be an array and is none becomes [],
 * and an index beyond the array changes nothing. */
int eng_payload_set(const struct sx_mem *mem,
                    struct sx_doc old,
                    struct sx_doc patch,
                    const struct sx_path *key,
                    struct sx_docb *out);

/* Removes what the n paths lead to: members of objects; a path that ends in [] empties the array,
 * an index at the end changes nothing. */
int eng_payload_delete(const struct sx_mem *mem,
                       struct sx_doc old,
                       const struct sx_path *keys,
                       uint32_t n,
                       struct sx_docb *out);

#endif
