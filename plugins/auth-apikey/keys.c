/* The configured secrets as one immutable set.
 *
 * Loop threads compare credentials while the main thread may be replacing the secrets on SIGHUP.
 * Readers therefore take one pointer inside an epoch section and see either the old set or the new
 * one, never half of each; the old block is wiped and released once no section can hold it. */
#include <string.h>

#include "apikey.h"

/* Last: it poisons names. */
#include "sextant/sx_ban.h"

static uint32_t text_len(const char *s)
{
    size_t n = s != NULL ? strlen(s) : 0;

    return n > UINT32_MAX ? 0 : (uint32_t)n;
}

int apikey_set_create(const struct sx_mem *mem,
                      const struct apikey_conf *conf,
                      struct apikey_set **out,
                      struct sx_err *err)
{
    const char *text[APIKEY_N];
    struct apikey_set *set;
    uint64_t bytes = 0;
    char *at;

    text[APIKEY_FULL] = conf->api_key;
    text[APIKEY_ALT] = conf->alt_api_key;
    text[APIKEY_READ] = conf->read_only_api_key;
    for (uint32_t i = 0; i < APIKEY_N; i++)
        bytes += text_len(text[i]);
    set = mem->zalloc(mem, sizeof(*set) + bytes);
    if (set == NULL)
        return sx_err_set(err, SX_ENOMEM, "no memory for the API keys");
    set->mem = mem;
    at = (char *)(set + 1);
    for (uint32_t i = 0; i < APIKEY_N; i++) {
        set->key[i].p = at;
        set->key[i].n = text_len(text[i]);
        if (set->key[i].n != 0)
            memcpy(at, text[i], set->key[i].n);
        at += set->key[i].n;
        set->any |= set->key[i].n != 0;
    }
    *out = set;
    return SX_OK;
}

void apikey_set_destroy(void *arg)
{
    struct apikey_set *set = arg;

    if (set == NULL)
        return;
    /* Through a volatile pointer, so that the compiler does not drop stores to dying memory. */
    for (uint32_t i = 0; i < APIKEY_N; i++) {
        volatile char *p = (volatile char *)(uintptr_t)set->key[i].p;
        for (uint32_t j = 0; j < set->key[i].n; j++)
            p[j] = 0;
    }
    set->mem->release(set->mem, set);
}

int apikey_set_match(const struct apikey_set *set,
                     const struct sx_crypto *crypto,
                     struct sx_str value)
{
    int found = -1;

    /* From last to first: where two secrets are the same text, the stronger right wins. The length
     * of a key is no secret worth keeping; its bytes are. */
    for (uint32_t i = APIKEY_N; i-- > 0;) {
        const struct sx_str *key = &set->key[i];
        if (key->n != 0 && key->n == value.n && crypto->equal(key->p, value.p, key->n))
            found = (int)i;
    }
    return found;
}
