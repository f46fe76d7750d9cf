/* The router: operation table in, operation code out. */
#ifndef REST_ROUTE_H
#define REST_ROUTE_H

#include "http1.h"
#include "path.h"

#define REST_PARAMS_MAX 4u
#define REST_NODES_MAX  160u

/* What a `{name}` segment stands for; decides where its value goes and how it is checked. */
enum {
    REST_P_COLLECTION = 0,
    REST_P_ID,
    REST_P_VECTOR,
    REST_P_SHARD,
    REST_P_PEER,
    REST_P_OTHER, /* field, snapshot, key: text */
    REST_P__N
};

struct rest_node {
    struct sx_str segment;             /* literal text; unused in parameter nodes */
    uint16_t child, next, param, what; /* 0 = none; what: REST_P_* of a parameter node */
    int16_t op[REST_M_OTHER];          /* by method, -1 = none */
};
struct rest_router {
    uint32_t n, pad;
    struct rest_node node[REST_NODES_MAX]; /* node 0 is "/" */
};

struct rest_match {
    int32_t op; /* -1 = no route */
    uint32_t n_params;
    struct {
        uint32_t what, segment; /* segment: number in the list given to rest_router_find() */
    } param[REST_PARAMS_MAX];
};

/* Builds the tree from sx_op_table. 0, or SX_EINTERNAL when the table outgrew the arrays. */
int rest_router_init(struct rest_router *r);
void rest_router_find(const struct rest_router *r,
                      uint32_t method,
                      const struct sx_str *segments,
                      uint32_t n,
                      struct rest_match *out);

#endif
