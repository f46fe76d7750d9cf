/* Sorting keys: of a part that is sealed, and of one row. */
#include <string.h>

#include "part_numeric.h"

#include "sextant/sx_ban.h"

/* --- many: least significant digit first --------------------------------------------------- */

/* Digits of the key with its top bit turned over, so that negative keys come first. */
static uint32_t digit(const struct eng_num_pair *p, uint32_t d)
{
    return (uint32_t)(((uint64_t)p->key ^ UINT64_C(1) << 63) >> (8 * d)) & 255;
}

struct eng_num_pair *eng_num_sort(struct eng_num_pair *a, struct eng_num_pair *tmp, uint32_t n)
{
    uint32_t at[256];

    for (uint32_t d = 0; d < 8 && n > 1; d++) {
        struct eng_num_pair *swap = a;
        uint32_t sum = 0;

        memset(at, 0, sizeof(at));
        for (uint32_t i = 0; i < n; i++)
            at[digit(&a[i], d)]++;
        /* A digit that all share sorts nothing: most upper ones of usual data. */
        if (at[digit(&a[0], d)] == n)
            continue;
        for (uint32_t i = 0; i < 256; i++) {
            uint32_t here = at[i];

            at[i] = sum;
            sum += here;
        }
        for (uint32_t i = 0; i < n; i++)
            tmp[at[digit(&a[i], d)]++] = a[i];
        a = tmp;
        tmp = swap;
    }
    return a;
}

/* --- few: the values of one row ------------------------------------------------------------ */

static void sift(int64_t *v, uint32_t at, uint32_t n)
{
    int64_t x = v[at];

    for (;;) {
        uint64_t kid = 2 * (uint64_t)at + 1;

        if (kid >= n)
            break;
        if (kid + 1 < n && v[kid + 1] > v[kid])
            kid++;
        if (v[kid] <= x)
            break;
        v[at] = v[kid];
        at = (uint32_t)kid;
    }
    v[at] = x;
}

/* A hostile row may bring millions: n log n whatever they are, and no memory. */
static void sort_heap(int64_t *v, uint32_t n)
{
    for (uint32_t i = n / 2; i > 0; i--)
        sift(v, i - 1, n);
    for (uint32_t i = n; i > 1; i--) {
        int64_t top = v[0];

        v[0] = v[i - 1];
        v[i - 1] = top;
        sift(v, 0, i - 1);
    }
}

static void sort_insert(int64_t *v, uint32_t n)
{
    for (uint32_t i = 1; i < n; i++) {
        int64_t x = v[i];
        uint32_t j = i;

        for (; j > 0 && v[j - 1] > x; j--)
            v[j] = v[j - 1];
        v[j] = x;
    }
}

uint32_t eng_num_distinct(int64_t *v, uint32_t n)
{
    uint32_t out = 0;

    if (n <= 16)
        sort_insert(v, n);
    else
        sort_heap(v, n);
    for (uint32_t i = 0; i < n; i++) {
        if (i == 0 || v[i] != v[i - 1])
            v[out++] = v[i];
    }
    return out;
}
