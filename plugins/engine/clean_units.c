/* Figures of units; see clean_units.h. */
#include "clean_units.h"

#include <string.h>

#include "sextant/sx_ban.h"

void eng_units_init(struct eng_units *u, const struct sx_mem *mem)
{
    memset(u, 0, sizeof(*u));
    u->mem = mem;
}

void eng_units_fini(struct eng_units *u)
{
    if (u->mem)
        u->mem->release(u->mem, u->at);
    memset(u, 0, sizeof(*u));
}

int eng_units_room(struct eng_units *u, uint32_t n)
{
    if (n > u->cap) {
        uint32_t cap = u->cap * 2 > n ? u->cap * 2 : n < 8 ? 8 : n;
        struct eng_unit *at = u->mem->zalloc(u->mem, cap * sizeof(*at));
        if (!at)
            return SX_ENOMEM;
        if (u->n)
            memcpy(at, u->at, u->n * sizeof(*at));
        u->mem->release(u->mem, u->at);
        u->at = at;
        u->cap = cap;
    }
    return 0;
}

struct eng_taker eng_units_taker(const struct eng_units *u)
{
    return (struct eng_taker){u->next, 0, 0};
}

uint32_t eng_units_take(const struct eng_units *u, struct eng_taker *k)
{
    if (k->next % SX_CHUNK_ROWS == 0) {
        uint32_t c = k->floor;
        while (c < u->n && u->at[c].state != ENG_UNIT_FREE)
            c++;
        if (c >= ENG_CHUNKS_MAX)
            return UINT32_MAX;
        k->floor = c + 1;
        k->next = (uint64_t)c << SX_CHUNK_SHIFT;
    }
    return (uint32_t)k->next++;
}

void eng_units_taken(struct eng_units *u, const struct eng_taker *k)
{
    u->next = k->next;
}

uint32_t eng_units_end(const struct eng_units *u)
{
    uint32_t n = u->n;
    while (n && !eng_unit_is_present(&u->at[n - 1]))
        n--;
    return n ? ((n - 1) << SX_CHUNK_SHIFT) + u->at[n - 1].fill : 0;
}

static struct eng_unit *unit_of(struct eng_units *u, uint32_t i)
{
    if (i >= u->n)
        u->n = i + 1; /* there is room: eng_units_room() */
    if (u->at[i].state == ENG_UNIT_FREE) {
        memset(&u->at[i], 0, sizeof(u->at[i]));
        u->at[i].state = ENG_UNIT_LIVE;
    }
    return &u->at[i];
}

void eng_units_put(struct eng_units *u, uint32_t number)
{
    struct eng_unit *k = unit_of(u, number >> SX_CHUNK_SHIFT);
    k->fill = (number & (SX_CHUNK_ROWS - 1)) + 1;
    k->live++;
    u->bytes++;
    u->live_bytes++;
}

void eng_units_keep(struct eng_units *u, uint32_t number)
{
    u->at[number >> SX_CHUNK_SHIFT].live++;
    u->live_bytes++;
}

void eng_units_kill(struct eng_units *u, uint32_t number)
{
    u->at[number >> SX_CHUNK_SHIFT].live--;
    u->live_bytes--;
}

void eng_units_written(struct eng_units *u, uint32_t segment, uint64_t n)
{
    struct eng_unit *k = unit_of(u, segment);
    k->bytes += n;
    u->bytes += n;
    u->open = segment;
}

void eng_units_keep_blob(struct eng_units *u, uint32_t segment, uint64_t n)
{
    struct eng_unit *k = &u->at[segment];
    if (n == 0 && k->live)
        n = k->live_bytes / k->live;
    k->live++;
    k->live_bytes += n;
    u->live_bytes += n;
}

void eng_units_kill_blob(struct eng_units *u, uint32_t segment, uint64_t n)
{
    struct eng_unit *k = &u->at[segment];
    if (n == 0)
        n = k->live_bytes / k->live;
    k->live--;
    if (n > k->live_bytes || k->live == 0)
        n = k->live_bytes; /* averages are not exact; nothing alive is nothing */
    k->live_bytes -= n;
    u->live_bytes -= n;
}

int eng_units_restore(struct eng_units *u, uint32_t n, const uint32_t *absent, uint32_t n_absent)
{
    if (eng_units_room(u, n) != 0)
        return SX_ENOMEM;
    if (n)
        memset(u->at, 0, n * sizeof(*u->at));
    for (uint32_t i = 0; i < n; i++)
        u->at[i].state = ENG_UNIT_LIVE;
    for (uint32_t i = 0; i < n_absent; i++) {
        if (absent[i] < n)
            u->at[absent[i]].state = ENG_UNIT_FREE;
    }
    u->n = n;
    u->bytes = u->live_bytes = 0;
    return 0;
}

int eng_units_absent(struct eng_units *u, uint32_t **out, uint32_t *n)
{
    uint32_t m = 0;
    *out = NULL;
    *n = 0;
    for (uint32_t i = 0; i < u->n; i++)
        m += !eng_unit_is_present(&u->at[i]) || u->at[i].state == ENG_UNIT_LEFT;
    if (m == 0)
        return 0;
    *out = u->mem->alloc(u->mem, m * sizeof(**out));
    if (!*out)
        return SX_ENOMEM;
    for (uint32_t i = 0; i < u->n; i++) {
        u->at[i].in_checkpoint = u->at[i].state == ENG_UNIT_LEFT;
        if (!eng_unit_is_present(&u->at[i]) || u->at[i].state == ENG_UNIT_LEFT)
            (*out)[(*n)++] = i;
    }
    return 0;
}

void eng_units_state(struct eng_units *u, uint32_t i, uint32_t state)
{
    struct eng_unit *k = &u->at[i];
    if (k->state == ENG_UNIT_LIVE && state != ENG_UNIT_LIVE)
        u->bytes -= k->bytes + k->fill; /* one of them is 0; nothing of it is alive */
    if (state == ENG_UNIT_FREE || state == ENG_UNIT_DROPPED)
        memset(k, 0, sizeof(*k));
    k->state = (uint8_t)state;
}

void eng_units_skip(struct eng_units *u, uint32_t i)
{
    if (i >= u->cap)
        return; /* nothing was begun: there was no memory for its unit */
    if (i >= u->n)
        u->n = i + 1;
    eng_units_state(u, i, ENG_UNIT_DROPPED);
}
