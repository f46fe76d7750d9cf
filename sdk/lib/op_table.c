/* The operation table of sx_op_list.h as data: name, method, path and classes by code.
 *
 * Read by the router, the access checks, counters, audit and telemetry. Constant; any thread. */
#include "sextant/sx_op_list.h"

const struct sx_op_info sx_op_table[SX_OP__N] = {
#define SX_X(code, method, path, grpc, cls, body)                                                  \
    {#code, method, path, grpc, SX_OPC_##cls, SX_OPB_##body},
    SX_OP_LIST(SX_X)
#undef SX_X
};
