/* Samples about the process itself, read from /proc when an exporter walks. */
#ifndef SX_KERNEL_PROCSTAT_H
#define SX_KERNEL_PROCSTAT_H

/* [M] Registers the collector with the host's telemetry; once. 0 or SX_ENOMEM. */
int sx_procstat_register(void);

#endif
