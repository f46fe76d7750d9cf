/* Which counters of answers the page shows. Transports count every endpoint and status, because
 * telemetry tells them all; the page has those of the data plane, and durations only of what
 * succeeded (spec chapter 01, section 8.2). A sample without an endpoint is not one of these. */
#include <string.h>

#include "prom.h"

/* Last: it poisons names. */
#include "sextant/sx_ban.h"

/* Below /collections/{collection_name}. Facets are missing: the reference lists a path for them
 * that no route has. */
static const char *const rest_endpoints[] = {
    "/index",
    "/points",
    "/points/batch",
    "/points/count",
    "/points/delete",
    "/points/discover",
    "/points/discover/batch",
    "/points/payload",
    "/points/payload/clear",
    "/points/payload/delete",
    "/points/query",
    "/points/query/batch",
    "/points/query/groups",
    "/points/recommend",
    "/points/recommend/batch",
    "/points/recommend/groups",
    "/points/scroll",
    "/points/search",
    "/points/search/batch",
    "/points/search/groups",
    "/points/search/matrix/offsets",
    "/points/search/matrix/pairs",
    "/points/vectors",
    "/points/vectors/delete",
    "/vectors/{vector_name}",
};

/* Below /qdrant.Points/. */
static const char *const grpc_endpoints[] = {
    "ClearPayload",     "Count",           "CreateVectorName", "Delete",        "DeletePayload",
    "DeleteVectorName", "Discover",        "DiscoverBatch",    "Facet",         "Get",
    "OverwritePayload", "Query",           "QueryBatch",       "QueryGroups",   "Recommend",
    "RecommendBatch",   "RecommendGroups", "Scroll",           "Search",        "SearchBatch",
    "SearchGroups",     "SetPayload",      "UpdateBatch",      "UpdateVectors", "Upsert",
};

struct transport {
    const char *family, *below, *ok; /* how its families and endpoints begin; status of success */
    const char *const *endpoints;
    uint32_t n_endpoints;
};

static const struct transport transports[] = {
    {"rest_responses_", "/collections/{collection_name}", "200", rest_endpoints,
     SX_COUNT(rest_endpoints)},
    {"grpc_responses_", "/qdrant.Points/", "0", grpc_endpoints, SX_COUNT(grpc_endpoints)},
};

/* The value of a label, as it is written; p NULL = absent. */
static struct sx_str label_of(const char *labels, const char *name)
{
    struct sx_str out = {NULL, 0, 0};
    uint64_t n = strlen(name);
    const char *p = labels, *end;

    while (p != NULL && *p != '\0') {
        end = strchr(p, '"');
        if (end == NULL)
            break;
        for (end++; *end != '"' && *end != '\0'; end++)
            end += *end == '\\' && end[1] != '\0';
        if (*end == '\0')
            break;
        if (strncmp(p, name, n) == 0 && p[n] == '=' && p[n + 1] == '"') {
            out.p = p + n + 2;
            out.n = (uint32_t)(end - out.p);
            return out;
        }
        p = end + 1 + (end[1] == ',');
    }
    return out;
}

static int is_text(struct sx_str s, const char *text, uint64_t n)
{
    return s.n == n && memcmp(s.p, text, n) == 0;
}

int prom_is_shown(const struct sx_sample *s)
{
    struct sx_str endpoint = label_of(s->labels, "endpoint"), status;
    const struct transport *t = NULL;
    uint64_t n;

    for (uint32_t i = 0; i < SX_COUNT(transports) && t == NULL; i++)
        if (strncmp(s->name, transports[i].family, strlen(transports[i].family)) == 0)
            t = &transports[i];
    if (t == NULL || endpoint.p == NULL)
        return 1;
    status = label_of(s->labels, "status");
    if (s->type == SX_METRIC_HISTOGRAM && !is_text(status, t->ok, strlen(t->ok)))
        return 0;
    n = strlen(t->below);
    if (endpoint.n < n || memcmp(endpoint.p, t->below, n) != 0)
        return 0;
    endpoint.p += n;
    endpoint.n -= (uint32_t)n;
    for (uint32_t i = 0; i < t->n_endpoints; i++)
        if (is_text(endpoint, t->endpoints[i], strlen(t->endpoints[i])))
            return 1;
    return 0;
}
