#include "project.h"
int eng_projection_create(const struct sx_selector *sel, struct sx_arena *arena, struct eng_projection **out, struct sx_err *err)
{ (void)sel;(void)arena;*out=NULL;(void)err; return 0; }
int eng_project(const struct eng_projection *p, struct sx_doc d, const struct sx_mem *mem, struct sx_arena *arena, struct sx_doc *out)
{ (void)p;(void)d;(void)mem;(void)arena;(void)out; return 0;}
