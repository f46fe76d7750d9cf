/* Verdicts: who is asking, and may they do that.
 *
 * Called on loop threads for every request of a server with keys; nothing here allocates, waits or
 * logs. A credential that is no key of ours is passed on, not refused: it may be a token that
 * another module understands, and the host refuses it when nobody does. */
#include "apikey.h"

/* Last: it poisons names. */
#include "sextant/sx_ban.h"

static int apikey_required(void *self)
{
    struct apikey_self *a = self;
    const struct apikey_set *set;
    int any;

    a->epoch->enter();
    set = __atomic_load_n(&a->set, __ATOMIC_ACQUIRE); /* pairs with the exchange in plugin.c */
    any = set != NULL && set->any != 0;
    a->epoch->leave();
    return any;
}

static int apikey_authenticate(void *self,
                               const struct sx_credential *c,
                               const struct sx_identity **out,
                               struct sx_err *err)
{
    struct apikey_self *a = self;
    const struct apikey_set *set;
    int which = -1;
    uint32_t any;

    a->epoch->enter();
    set = __atomic_load_n(&a->set, __ATOMIC_ACQUIRE); /* pairs with the exchange in plugin.c */
    any = set != NULL ? set->any : 0;
    if (any && c->scheme != SX_CRED_NONE && c->value.p != NULL)
        which = apikey_set_match(set, a->crypto, c->value);
    a->epoch->leave();

    if (which == APIKEY_FULL || which == APIKEY_ALT) {
        *out = &a->full;
        return SX_AUTH_ALLOW;
    }
    if (which == APIKEY_READ) {
        *out = &a->read_only;
        return SX_AUTH_ALLOW;
    }
    if (any && c->scheme == SX_CRED_NONE) {
        (void)sx_err_set(err, SX_EUNAUTH,
                         "Must provide an API key or an Authorization bearer token");
        return SX_AUTH_DENY;
    }
    return SX_AUTH_PASS;
}

/* What the operation needs beyond reading. The list names every collection it touches; an operation
 * without data (an empty list) is judged by its class in the table of operations. */
static int changes_something(const struct sx_op *op, const struct sx_access *access, uint32_t n)
{
    if (n == 0)
        return op->code >= SX_OP__N || sx_op_table[op->code].cls >= SX_OPC_WRITE;
    for (uint32_t i = 0; i < n; i++)
        if (access[i].need >= SX_OPC_WRITE)
            return 1;
    return 0;
}

static int apikey_authorize(void *self,
                            const struct sx_identity *id,
                            const struct sx_op *op,
                            const struct sx_access *access,
                            uint32_t n,
                            struct sx_err *err)
{
    struct apikey_self *a = self;

    if (id == &a->full)
        return SX_OK;
    /* A reader of everything is refused with the same text for every scope and for writing as for
     * managing; nothing tells whether the collection exists. */
    if (id == &a->read_only && !changes_something(op, access, n))
        return SX_OK;
    return sx_err_set(err, SX_EFORBIDDEN, "Global manage access is required");
}

static void apikey_release(void *self, const struct sx_identity *id)
{
    (void)self;
    (void)id; /* lives with the instance */
}

const struct sx_auth_ops apikey_ops = {
    .size = (uint32_t)sizeof(struct sx_auth_ops),
    .required = apikey_required,
    .authenticate = apikey_authenticate,
    .authorize = apikey_authorize,
    .release = apikey_release,
};
