/* index-flat: the best k of a stream of scored nodes.
 *
 * The caller's result array is the only storage, so k may be as large as the caller made it. Until
 * the array is full hits are appended; then it is made a heap (worst at the root) once, and from
 * there on almost every candidate fails one float comparison. Keys are computed where two hits are
 * compared: storing them would need memory that depends on k. */
#include <math.h>
#include <string.h>

#include "flat.h"

/* Last: it poisons names. */
#include "sextant/sx_ban.h"

uint64_t flat_hit_key(float score, uint32_t node)
{
    uint32_t bits = 0;
    if (!isnan(score)) {        /* NaN keeps 0: below -infinity, whose key is 0x007fffff */
        float s = score + 0.0f; /* -0 becomes 0 */
        memcpy(&bits, &s, sizeof(bits));
        bits = (bits >> 31) != 0 ? ~bits : bits | 0x80000000u;
    }
    return (uint64_t)bits << 32 | (uint32_t)~node;
}

static uint64_t key_of(const struct sx_hit *h)
{
    return flat_hit_key(h->score, h->node);
}

/* Puts `hit` in at position i of a heap of n and moves it down to its place. */
static void sift_down(struct sx_hit *h, uint32_t n, uint32_t i, struct sx_hit hit)
{
    uint64_t key = key_of(&hit);
    while (i < n / 2) { /* i has a child; 2 i + 2 cannot overflow below n / 2 */
        uint32_t child = 2 * i + 1;
        uint64_t child_key = key_of(&h[child]);
        if (child + 1 < n) {
            uint64_t right = key_of(&h[child + 1]);
            if (right < child_key) {
                child_key = right;
                child++;
            }
        }
        if (key <= child_key)
            break;
        h[i] = h[child];
        i = child;
    }
    h[i] = hit;
}

static void heapify(struct sx_hit *h, uint32_t n)
{
    for (uint32_t i = n / 2; i-- > 0;)
        sift_down(h, n, i, h[i]);
}

/* Takes one candidate that passed the floor. */
static void offer_one(struct flat_top *t, float score, uint32_t node)
{
    struct sx_hit hit = {node, score};
    uint64_t key = key_of(&hit);
    if (key >= t->bound)
        return;
    if (t->n < t->cap) {
        t->hits[t->n++] = hit;
        if (t->n < t->cap)
            return;
        heapify(t->hits, t->n);
    } else if (key > key_of(&t->hits[0])) {
        sift_down(t->hits, t->n, 0, hit);
    } else {
        return;
    }
    /* A NaN root gives a NaN floor, which no comparison rejects by. */
    t->floor = t->hits[0].score;
}

void flat_top_offer_run(struct flat_top *t, uint32_t first, const float *scores, uint32_t n)
{
    for (uint32_t i = 0; i < n; i++)
        if (!(scores[i] < t->floor))
            offer_one(t, scores[i], first + i);
}

void flat_top_offer_part(
    struct flat_top *t, const uint32_t *nodes, uint32_t n, const float *scores, uint32_t score_base)
{
    for (uint32_t i = 0; i < n; i++) {
        float score = scores[nodes[i] - score_base];
        if (!(score < t->floor))
            offer_one(t, score, nodes[i]);
    }
}

void flat_top_offer(struct flat_top *t, const uint32_t *nodes, const float *scores, uint32_t n)
{
    for (uint32_t i = 0; i < n; i++)
        if (!(scores[i] < t->floor))
            offer_one(t, scores[i], nodes[i]);
}

void flat_top_sort(struct flat_top *t)
{
    if (t->n < t->cap)
        heapify(t->hits, t->n);
    for (uint32_t n = t->n; n > 1; n--) {
        struct sx_hit worst = t->hits[0];
        sift_down(t->hits, n - 1, 0, t->hits[n - 1]);
        t->hits[n - 1] = worst;
    }
}
