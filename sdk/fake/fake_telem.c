/* The fake host's sx.telem: metrics in a list, readable by name. */
#include <pthread.h>
#include <stdlib.h>
#include <string.h>

#include "fake.h"

struct sx_metric {
    struct sx_metric *next;
    uint32_t type, pad;
    char *name, *labels;
    double value;
    uint64_t count;
};

struct collector {
    struct collector *next;
    void (*fn)(struct sx_sample_sink *s, void *arg);
    void *arg;
};

static pthread_mutex_t lock = PTHREAD_MUTEX_INITIALIZER;
static struct sx_metric *metrics;
static struct collector *collectors;

static struct sx_metric *find(const char *name, const char *labels)
{
    for (struct sx_metric *m = metrics; m != NULL; m = m->next)
        if (strcmp(m->name, name) == 0 && strcmp(m->labels, labels) == 0)
            return m;
    return NULL;
}

static struct sx_metric *telem_metric(uint32_t type,
                                      const char *name,
                                      const char *help,
                                      const char *labels,
                                      const double *bounds,
                                      uint32_t n_bounds)
{
    (void)help;
    (void)bounds;
    (void)n_bounds;
    if (labels == NULL)
        labels = "";
    pthread_mutex_lock(&lock);
    struct sx_metric *m = find(name, labels);
    if (m == NULL && (m = calloc(1, sizeof(*m))) != NULL) {
        m->type = type;
        m->name = strdup(name);
        m->labels = strdup(labels);
        if (m->name == NULL || m->labels == NULL) {
            free(m->name);
            free(m->labels);
            free(m);
            m = NULL;
        } else {
            m->next = metrics;
            metrics = m;
        }
    }
    pthread_mutex_unlock(&lock);
    return m;
}

static void telem_add(struct sx_metric *m, double v)
{
    pthread_mutex_lock(&lock);
    m->value += v;
    m->count++;
    pthread_mutex_unlock(&lock);
}

static void telem_set(struct sx_metric *m, double v)
{
    pthread_mutex_lock(&lock);
    m->value = v;
    pthread_mutex_unlock(&lock);
}

static int telem_collector(void (*fn)(struct sx_sample_sink *s, void *arg), void *arg)
{
    struct collector *c = malloc(sizeof(*c));
    if (c == NULL)
        return SX_ENOMEM;
    pthread_mutex_lock(&lock);
    *c = (struct collector){collectors, fn, arg};
    collectors = c;
    pthread_mutex_unlock(&lock);
    return SX_OK;
}

static void telem_walk(struct sx_sample_sink *s)
{
    for (struct sx_metric *m = metrics; m != NULL; m = m->next) {
        struct sx_sample sample = {
            .size = (uint32_t)sizeof(sample),
            .type = m->type,
            .name = m->name,
            .help = "",
            .labels = m->labels,
            .value = m->value,
            .count = m->count,
            .sum = m->value,
        };
        s->add(s, &sample);
    }
    for (struct collector *c = collectors; c != NULL; c = c->next)
        c->fn(s, c->arg);
}

const struct sx_telem sx_fake__telem = {
    .size = (uint32_t)sizeof(struct sx_telem),
    .metric = telem_metric,
    .add = telem_add,
    .set = telem_set,
    .observe = telem_add,
    .collector = telem_collector,
    .walk = telem_walk,
};

double sx_fake_host_metric(const char *name, const char *labels)
{
    pthread_mutex_lock(&lock);
    const struct sx_metric *m = find(name, labels != NULL ? labels : "");
    double v = m != NULL ? m->value : 0;
    pthread_mutex_unlock(&lock);
    return v;
}

void sx_fake__telem_fini(void)
{
    while (metrics != NULL) {
        struct sx_metric *m = metrics;
        metrics = m->next;
        free(m->name);
        free(m->labels);
        free(m);
    }
    while (collectors != NULL) {
        struct collector *c = collectors;
        collectors = c->next;
        free(c);
    }
}
