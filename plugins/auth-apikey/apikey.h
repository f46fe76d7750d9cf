/* auth-apikey: what its files share.
 *
 * plugin.c   descriptor, key table, life, reload
 * keys.c     the configured secrets: one immutable set, swapped whole
 * rights.c   verdicts: who is this, and may they do that
 *
 * Three secrets, two kinds of caller: `api_key` and `alt_api_key` may do everything (the second
 * exists so that keys can be rotated without a gap), `read_only_api_key` may read everything and
 * change nothing. No secret set: the module demands nothing and the server is open. */
#ifndef APIKEY_APIKEY_H
#define APIKEY_APIKEY_H

#include "sextant/sx_op.h"
#include "sextant/sx_plugin.h"

/* Filled by the host from the key table in plugin.c. */
struct apikey_conf {
    const char *api_key, *alt_api_key, *read_only_api_key;
};

enum { APIKEY_FULL = 0, APIKEY_ALT = 1, APIKEY_READ = 2, APIKEY_N = 3 };

/* Never changes after it was published. Lives in one block with its texts. */
struct apikey_set {
    struct sx_str key[APIKEY_N]; /* n 0 = not set */
    uint32_t any, pad;
    const struct sx_mem *mem; /* who releases it */
};

struct apikey_self {
    /* never change after load */
    const struct sx_host *host;
    const struct sx_mem *mem;
    const struct sx_crypto *crypto;
    const struct sx_epoch *epoch;
    /* The two callers there can be. They say what someone may do, not with which secret they came,
     * so an identity handed out before a reload stays true after it and needs no count: both live
     * as long as the instance, which the host never frees. */
    struct sx_identity full, read_only;
    /* main thread stores (release), any thread loads (acquire) inside an epoch section */
    struct apikey_set *set;
};

/* --- keys.c
 * --------------------------------------------------------------------------------------- */

/* Returns an owned set in *out; empty texts count as unset. SX_ENOMEM. Thread: M. */
int apikey_set_create(const struct sx_mem *mem,
                      const struct apikey_conf *conf,
                      struct apikey_set **out,
                      struct sx_err *err);
/* Takes the set; NULL is fine. Wipes the secrets first. Signature fits sx.epoch's retire. */
void apikey_set_destroy(void *set);
/* Which secret is it: APIKEY_*, or -1. Looks at all of them whatever the outcome, so the time says
 * nothing about which one came near. Thread: A, inside an epoch section. */
int apikey_set_match(const struct apikey_set *set,
                     const struct sx_crypto *crypto,
                     struct sx_str value);

/* --- rights.c
 * ------------------------------------------------------------------------------------- */

extern const struct sx_auth_ops apikey_ops;

#endif
