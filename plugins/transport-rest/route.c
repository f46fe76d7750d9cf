/* A tree over path segments, built once from the operation table.
 *
 * A literal segment goes before a parameter, but only if a route with this method hangs below it:
 * POST /collections/aliases is the alias endpoint, GET /collections/aliases a collection of that
 * name. So the search goes back and tries the parameter when the literal branch has no answer.
 *
 * Threads: built by M, then read by any. */
#include "route.h"

#include <string.h>

#include "sextant/sx_op_list.h"

/* Last: it poisons names. */
#include "sextant/sx_ban.h"

static const struct {
    const char *text;
    uint32_t what;
} param_names[] = {
    {"{collection}", REST_P_COLLECTION}, {"{id}", REST_P_ID},        {"{vector}", REST_P_VECTOR},
    {"{shard}", REST_P_SHARD},           {"{peer_id}", REST_P_PEER},
};

static int same(struct sx_str a, struct sx_str b)
{
    return a.n == b.n && memcmp(a.p, b.p, a.n) == 0;
}

static uint16_t new_node(struct rest_router *r)
{
    struct rest_node *node;

    if (r->n == REST_NODES_MAX)
        return 0;
    node = &r->node[r->n];
    memset(node, 0, sizeof(*node));
    for (uint32_t i = 0; i < REST_M_OTHER; i++)
        node->op[i] = -1;
    return (uint16_t)r->n++;
}

/* The child of `at` for this segment of a route, made when missing; 0 = full. */
static uint16_t step(struct rest_router *r, uint16_t at, struct sx_str segment)
{
    uint16_t c;

    if (segment.p[0] == '{') {
        if (r->node[at].param == 0) {
            c = new_node(r);
            if (c == 0)
                return 0;
            r->node[at].param = c;
            r->node[c].what = REST_P_OTHER;
            for (uint32_t i = 0; i < SX_COUNT(param_names); i++)
                if (strlen(param_names[i].text) == segment.n &&
                    memcmp(param_names[i].text, segment.p, segment.n) == 0)
                    r->node[c].what = (uint16_t)param_names[i].what;
        }
        return r->node[at].param;
    }
    for (c = r->node[at].child; c != 0; c = r->node[c].next)
        if (same(r->node[c].segment, segment))
            return c;
    c = new_node(r);
    if (c == 0)
        return 0;
    r->node[c].segment = segment;
    r->node[c].next = r->node[at].child;
    r->node[at].child = c;
    return c;
}

static uint32_t method_code(const char *name)
{
    static const char *const names[REST_M_OTHER] = {"GET",   "POST",   "PUT",
                                                    "PATCH", "DELETE", "OPTIONS"};
    uint32_t i = 0;

    while (i < REST_M_OTHER && strcmp(names[i], name) != 0)
        i++;
    return i;
}

int rest_router_init(struct rest_router *r)
{
    r->n = 0;
    (void)new_node(r);
    for (uint32_t op = 0; op < SX_OP__N; op++) {
        const struct sx_op_info *info = &sx_op_table[op];
        struct sx_str segments[REST_SEGMENTS_MAX];
        struct sx_str path = {info->path, (uint32_t)strlen(info->path), 0};
        uint32_t method = method_code(info->method);
        int n = rest_path_split(path, segments);
        uint16_t at = 0;

        if (n < 0 || method == REST_M_OTHER)
            return SX_EINTERNAL;
        for (int i = 0; i < n; i++) {
            at = step(r, at, segments[i]);
            if (at == 0)
                return SX_EINTERNAL;
        }
        r->node[at].op[method] = (int16_t)op;
    }
    return SX_OK;
}

struct search {
    const struct rest_router *r;
    const struct sx_str *segments;
    uint32_t method, n;
};

static int descend(const struct search *s, uint16_t at, uint32_t depth, struct rest_match *out)
{
    const struct rest_node *node = &s->r->node[at];
    uint16_t c;

    if (depth == s->n) {
        out->op = node->op[s->method];
        return out->op >= 0;
    }
    for (c = node->child; c != 0; c = s->r->node[c].next)
        if (same(s->r->node[c].segment, s->segments[depth]))
            break;
    if (c != 0 && descend(s, c, depth + 1, out))
        return 1;
    if (node->param == 0 || out->n_params == REST_PARAMS_MAX)
        return 0;
    out->param[out->n_params].what = s->r->node[node->param].what;
    out->param[out->n_params].segment = depth;
    out->n_params++;
    if (descend(s, node->param, depth + 1, out))
        return 1;
    out->n_params--;
    return 0;
}

void rest_router_find(const struct rest_router *r,
                      uint32_t method,
                      const struct sx_str *segments,
                      uint32_t n,
                      struct rest_match *out)
{
    struct search s = {r, segments, method, n};

    out->op = -1;
    out->n_params = 0;
    if (method < REST_M_OTHER && !descend(&s, 0, 0, out))
        out->op = -1;
}
