#ifndef ENG_PROJECT_H
#define ENG_PROJECT_H
#include "engine.h"
struct eng_projection;
int eng_projection_create(const struct sx_selector *sel, struct sx_arena *arena, struct eng_projection **out, struct sx_err *err);
int eng_project(const struct eng_projection *p, struct sx_doc d, const struct sx_mem *mem, struct sx_arena *arena, struct sx_doc *out);
#endif
