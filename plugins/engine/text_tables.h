/* Constant tables of text analysis: what scripts/gen-text-tables.py writes into text_tables.c and
 * text_stoplists.c. Only text_chars.c and text_stop.c read them. Immutable; any thread. */
#ifndef ENG_TEXT_TABLES_H
#define ENG_TEXT_TABLES_H

#include <stdint.h>

/* Code points above ASCII with another lower case: first, first + step, ... n of them; c becomes
 * c + delta. Ascending. U+0130, which becomes two code points, is not here. */
struct eng__text_lower_run {
    uint32_t first;
    uint16_t n, step;
    int32_t delta;
};
extern const uint32_t eng__text_n_lower;
extern const struct eng__text_lower_run eng__text_lower_runs[];
/* For each 64 code points below ENG__TEXT_LOW: the run where a search for one of them begins. */
#define ENG__TEXT_LOW 0x800u
extern const uint8_t eng__text_lower_blocks[];

/* Code points above ASCII with case or a number: first << 11 | (count - 1) << 3 | class, ascending.
 * class: bits of the first three, UPPER never without CASED; or ALTERNATING: upper, lower, upper...
 */
enum { ENG__TEXT_UPPER = 1, ENG__TEXT_CASED = 2, ENG__TEXT_NUMBER = 4, ENG__TEXT_ALTERNATING = 1 };
extern const uint32_t eng__text_n_classes;
extern const uint32_t eng__text_classes[];

/* Code points above ASCII that case looks through: first << 11 | (count - 1), ascending. */
extern const uint32_t eng__text_n_ignorable;
extern const uint32_t eng__text_ignorable[];

/* fold_code[i], ascending, becomes the up to 4 characters of fold_texts[fold_text[i]]. */
extern const uint32_t eng__text_n_fold;
extern const uint16_t eng__text_fold_code[];
extern const uint8_t eng__text_fold_text[];
extern const char eng__text_fold_texts[][4];

/* One language: the words of bucket b are words[starts[b] ... starts[b + 1]), each behind its
 * length in one byte; b is the word's hash & mask. */
struct eng__text_stoplist {
    const char *words;
    const uint16_t *starts;
    uint32_t mask, pad;
};
extern const struct eng__text_stoplist eng__text_stoplists[]; /* by enum eng__text_language */

#endif
