/* The fake host's configuration: every key gets its default.
 *
 * The server parses a file; a module under test gets what an empty file would give it. */
#include <stdlib.h>
#include <string.h>

#include "sextant/sx_doc.h"

#include "fake.h"

static int parse_number(const struct sx_key *k, void *at)
{
    char *end = NULL;
    const char *s = k->def;
    if (s == NULL) { /* unset: all ones when optional, else 0 */
        if ((k->flags & SX_KEY_OPTIONAL) != 0)
            memset(at, 0xff, 8);
        return 0;
    }
    if (k->type == SX_KEY_U64)
        *(uint64_t *)at = strtoull(s, &end, 0);
    else if (k->type == SX_KEY_I64)
        *(int64_t *)at = strtoll(s, &end, 0);
    else
        *(double *)at = strtod(s, &end);
    return end == s || *end != '\0';
}

static int parse_bool(const struct sx_key *k, uint32_t *at)
{
    if (k->def == NULL) {
        *at = (k->flags & SX_KEY_OPTIONAL) != 0 ? UINT32_MAX : 0;
        return 0;
    }
    *at = strcmp(k->def, "true") == 0;
    return *at == 0 && strcmp(k->def, "false") != 0;
}

int sx_fake__conf_defaults(const struct sx_plugin *p, void *conf, struct sx_err *err)
{
    for (uint32_t i = 0; i < p->n_keys; i++) {
        const struct sx_key *k =
            (const void *)((const uint8_t *)p->keys + (uint64_t)i * p->key_size);
        void *at = (uint8_t *)conf + k->offset;
        int is_bad = 0;
        switch (k->type) {
        case SX_KEY_STR:
            *(const char **)at = k->def;
            break;
        case SX_KEY_U64:
        case SX_KEY_I64:
        case SX_KEY_F64:
            is_bad = parse_number(k, at);
            break;
        case SX_KEY_BOOL:
            is_bad = parse_bool(k, at);
            break;
        default: /* trees and lists stay absent */
            break;
        }
        if (is_bad)
            return sx_err_set(err, SX_EINPUT, "key '%s': default '%s' does not parse", k->path,
                              k->def);
    }
    return SX_OK;
}
