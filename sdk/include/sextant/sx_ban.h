/* Included last by module sources: names that must not be used there. Memory comes from sx_mem,
 * text through bounded functions, time from sx.time. */
#ifndef SX_BAN_H
#define SX_BAN_H

#pragma GCC poison malloc calloc realloc free strdup printf sprintf vsprintf strcpy strcat atoi
#pragma GCC poison atol atof rand srand gmtime localtime strtok

#endif
