/* Vetting: is a descriptor what it says it is?
 *
 * Pure functions over a descriptor that is already in memory, used by the loader before any code of
 * a module runs and by sextant-plugin-check. A module that passes has: a descriptor of a known
 * size, a supported ABI, well-formed names, a `.sx_plugin` text that agrees with it, provides whose
 * capability bits and callbacks agree, needs and keys that make sense.
 *
 * Versions. The ABI major must be the host's, the minor may not be newer. A table may be shorter
 * than the host's (an older module), never longer: what a version says ends where that version's
 * table ends.
 *
 * Callbacks that every provider of a kind must have are those not named here as conditional
 * ("capability: callback"; the callback without the capability is refused too) or optional:
 *   distance  NORMALIZES: preprocess; without LARGER_BETTER: postprocess; optional both
 *   index     INCREMENTAL: insert; REMOVE: remove, forgotten; RESUME: resume;
 *             optional check_params, stats, verify
 *   rows      ADDRESSABLE: rows; PREFETCH: advise (optional without)
 *   blobs     none */
#ifndef SX_VET_H
#define SX_VET_H

#include "sextant/sx_plugin.h"

#ifdef __cplusplus
extern "C" {
#endif

/* 0, or SX_EABI with the first finding in err. [A] */
int sx_plugin_vet(const struct sx_plugin *p, struct sx_err *err);

/* Every finding; returns how many. `text` is valid during the call. [A] */
uint32_t
sx_plugin_vet_all(const struct sx_plugin *p, void (*sink)(void *arg, const char *text), void *arg);

/* "distance" for SX_KIND_DISTANCE; NULL for no kind. Static. [A] */
const char *sx_kind_name(uint32_t kind);
/* The kind of that name, 0 when there is none. [A] */
uint32_t sx_kind_parse(const char *name, uint64_t n);

#ifdef __cplusplus
}
#endif
#endif
