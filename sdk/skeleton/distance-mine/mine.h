/* distance-mine: what its files share. mine.c is the descriptor, chebyshev.c the arithmetic. */
#ifndef MINE_MINE_H
#define MINE_MINE_H

#include "sextant/sx_distance.h"

extern const struct sx_distance_ops mine_ops;

#endif
