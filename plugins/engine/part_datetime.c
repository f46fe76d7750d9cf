/* Payload index of datetimes: the numbers' forms (part_numeric.h) with microseconds since 1970 for
 * values. Ranges of numbers are answered too: they compare microseconds. */
#include "part_numeric.h"

#include "sextant/sx_ban.h"

const struct eng_part_ops eng_part_datetime = {
    .name = "datetime",
    .open_create = eng_num_open_create,
    .open_destroy = eng_num_open_destroy,
    .open_add = eng_num_open_add,
    .open_cut = eng_num_open_cut,
    .open_mask = eng_num_open_mask,
    .open_bytes = eng_num_open_bytes,
    .open_is_full = eng_num_open_is_full,
    .seal = eng_num_seal,
    .check = eng_num_check,
    .mask = eng_num_mask,
    .tally = eng_num_tally,
    .order = eng_num_order,
    .answers = eng_num_answers_range,
};
