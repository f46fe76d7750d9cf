/* The machine: instruction sets, usable CPUs, clocks, random numbers. */
#ifndef SX_KERNEL_CPU_H
#define SX_KERNEL_CPU_H

#include "sextant/sx_service.h"

/* cpu.c. [A] the CPUs this process may use: affinity and the cgroup's quota, at least 1. */
uint32_t sx_cpu_count(void);
/* [M] first call reads SEXTANT_CPU and the machine. */
const struct sx_cpu *sx_cpu_table(void);

/* time.c. [A] */
const struct sx_time *sx_time_table(void);
uint64_t sx_time_mono_ns(void);
uint64_t sx_time_wall_ns(void);

/* crypto.c. [A] */
const struct sx_crypto *sx_crypto_table(void);

#endif
