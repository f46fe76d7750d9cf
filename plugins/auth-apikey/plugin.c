/* auth-apikey: requests carry a secret that stands in the configuration.
 *
 * Spec chapter 04, sections 10 to 12. The host warns about empty keys when it reads them; here they
 * are simply unset. Tokens (`service.jwt_rbac`) are another module's: this one does not declare the
 * key, so a server that asks for tokens and has no module for them refuses to start. */
#include <stddef.h>

#include "apikey.h"

/* Last: it poisons names. */
#include "sextant/sx_ban.h"

#define APIKEY_KEY(field, text)                                                                    \
    {                                                                                              \
        .size = (uint32_t)sizeof(struct sx_key), .type = SX_KEY_STR,                               \
        .flags = SX_KEY_SECRET | SX_KEY_OPTIONAL | SX_KEY_RELOADABLE,                              \
        .offset = (uint32_t)offsetof(struct apikey_conf, field), .path = "service." #field,        \
        .min = 1, .max = 0, .help = (text)                                                         \
    }

static const struct sx_key apikey_keys[] = {
    APIKEY_KEY(api_key, "Key with all rights."),
    APIKEY_KEY(alt_api_key, "A second key with all rights, for rotation."),
    APIKEY_KEY(read_only_api_key, "Key that may read everything and change nothing."),
};

static int apikey_load(const struct sx_host *host, void *self, struct sx_err *err)
{
    struct apikey_self *a = self;

    a->host = host;
    a->mem = host->mem;
    a->crypto = host->get(host, "sx.crypto", (uint32_t)sizeof(struct sx_crypto));
    a->epoch = host->get(host, "sx.epoch", (uint32_t)sizeof(struct sx_epoch));
    if (a->mem == NULL || a->crypto == NULL || a->epoch == NULL)
        return sx_err_set(err, SX_EABI, "the host lacks service sx.mem, sx.crypto or sx.epoch");
    a->full.size = a->read_only.size = (uint32_t)sizeof(struct sx_identity);
    a->full.auth_self = a->read_only.auth_self = a;
    a->full.ops = a->read_only.ops = &apikey_ops;
    return SX_OK;
}

/* Makes the new set first and swaps one pointer: a failure leaves the old keys in force. */
static int apikey_use(struct apikey_self *a, const struct apikey_conf *conf, struct sx_err *err)
{
    struct apikey_set *set, *old;
    int rc;

    rc = apikey_set_create(a->mem, conf, &set, err);
    if (rc != SX_OK)
        return rc;
    /* pairs with the acquire loads in rights.c */
    old = __atomic_exchange_n(&a->set, set, __ATOMIC_ACQ_REL);
    if (old != NULL)
        a->epoch->retire(apikey_set_destroy, old);
    return SX_OK;
}

static int apikey_configure(void *self, const void *conf, struct sx_err *err)
{
    return apikey_use(self, conf, err);
}

static int apikey_reload(void *self, const void *conf, struct sx_err *err)
{
    struct apikey_self *a = self;
    int rc;

    rc = apikey_use(a, conf, err);
    if (rc == SX_OK)
        sx_log(a->host, SX_LOG_INFO, "keys", "API keys are reloaded, authentication is %s",
               a->set->any ? "on" : "off");
    return rc;
}

static void apikey_stop(void *self)
{
    struct apikey_self *a = self;

    apikey_set_destroy(a->set);
    a->set = NULL;
}

static const struct sx_provide apikey_provides[] = {
    {
        .size = (uint32_t)sizeof(struct sx_provide),
        .kind = SX_KIND_AUTH,
        .iface_version = SX_AUTH_IFACE,
        .name = "apikey",
        .ops = &apikey_ops,
    },
};

SX_PLUGIN(auth_apikey, "auth-apikey kinds=auth abi=1.0 build=" SX_BUILD_ID) = {
    SX_PLUGIN_HEAD(auth_apikey),
    .flags = SX_PLUGIN_STRICT,
    .name = "auth-apikey",
    .version = "1.0.0",
    .licence = "Apache-2.0",
    .summary = "API keys: one with all rights, its alternate, and one that may only read",
    .provides = apikey_provides,
    .n_provides = SX_COUNT(apikey_provides),
    .keys = apikey_keys,
    .n_keys = SX_COUNT(apikey_keys),
    .conf_size = (uint32_t)sizeof(struct apikey_conf),
    .instance_size = (uint32_t)sizeof(struct apikey_self),
    .load = apikey_load,
    .configure = apikey_configure,
    .reload = apikey_reload,
    .stop = apikey_stop,
};
