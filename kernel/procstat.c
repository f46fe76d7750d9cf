/* What the system knows about this process, as samples: threads, descriptors, mappings, page
 * faults, memory.
 *
 * Nobody counts these, so they are read when an exporter walks: one pass over /proc/self/status,
 * one over /proc/self/maps and one over /proc/self/fd. With the few thousand mappings of a loaded
 * server that is under a millisecond. A file that cannot be read (a hardened container without
 * /proc) leaves its samples out; nothing here can fail a scrape.
 *
 * The five memory_* names are those of the reference server's allocator. glibc's has other words:
 * active is what malloc holds from the system, allocated what the modules' accounts have handed
 * out, metadata the page tables, resident and retained the process's resident and virtual size. */
#include "procstat.h"

#include <dirent.h>
#include <fcntl.h>
#include <malloc.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <unistd.h>

#include "mem.h"
#include "telem.h"

static void
add(struct sx_sample_sink *sink, uint32_t type, const char *name, const char *help, double value)
{
    struct sx_sample s;

    memset(&s, 0, sizeof(s));
    s.size = (uint32_t)sizeof(s);
    s.type = type;
    s.name = name;
    s.help = help;
    s.labels = "";
    s.value = value;
    sink->add(sink, &s);
}

/* Up to cap - 1 bytes of a small file, terminated; the length, or -1. */
static ssize_t read_small(const char *path, char *buf, size_t cap)
{
    ssize_t n, sum = 0;
    int fd = open(path, O_RDONLY | O_CLOEXEC);

    if (fd < 0)
        return -1;
    while ((size_t)sum < cap - 1 && (n = read(fd, buf + sum, cap - 1 - (size_t)sum)) > 0)
        sum += n;
    (void)close(fd);
    buf[sum] = '\0';
    return sum;
}

/* "VmRSS:\t  1234 kB" in the text of /proc/self/status. */
static int field(const char *text, const char *name, double scale, double *out)
{
    const char *p = strstr(text, name);

    if (p == NULL || (p != text && p[-1] != '\n'))
        return 0;
    *out = (double)strtoull(p + strlen(name), NULL, 10) * scale;
    return 1;
}

static int count_lines(const char *path, double *out)
{
    char buf[16384];
    ssize_t n;
    uint64_t lines = 0;
    int fd = open(path, O_RDONLY | O_CLOEXEC);

    if (fd < 0)
        return 0;
    while ((n = read(fd, buf, sizeof(buf))) > 0)
        for (ssize_t i = 0; i < n; i++)
            lines += buf[i] == '\n';
    (void)close(fd);
    *out = (double)lines;
    return n == 0;
}

static int count_fds(double *out)
{
    DIR *d = opendir("/proc/self/fd");
    const struct dirent *e;
    uint64_t n = 0;

    if (d == NULL)
        return 0;
    while ((e = readdir(d)) != NULL)
        n += e->d_name[0] != '.';
    (void)closedir(d);
    *out = (double)(n > 0 ? n - 1 : 0); /* without the one that looked */
    return 1;
}

static void memory(struct sx_sample_sink *sink, const char *status)
{
    struct mallinfo2 mi = mallinfo2();
    struct sx_mem_usage u;
    double allocated = 0, mapped = 0, v;

    for (uint32_t i = 0; sx_mem_usage(i, &u); i++) {
        allocated += (double)u.heap_bytes;
        mapped += (double)u.mapped_bytes;
    }
    add(sink, SX_METRIC_GAUGE, "memory_active_bytes",
        "Total number of bytes in active pages allocated by the application",
        (double)(mi.arena + mi.hblkhd) + mapped);
    add(sink, SX_METRIC_GAUGE, "memory_allocated_bytes",
        "Total number of bytes allocated by the application", allocated + mapped);
    if (field(status, "VmPTE:", 1024, &v))
        add(sink, SX_METRIC_GAUGE, "memory_metadata_bytes",
            "Total number of bytes dedicated to metadata", v);
    if (field(status, "VmRSS:", 1024, &v))
        add(sink, SX_METRIC_GAUGE, "memory_resident_bytes",
            "Maximum number of bytes in physically resident data pages mapped", v);
    if (field(status, "VmSize:", 1024, &v))
        add(sink, SX_METRIC_GAUGE, "memory_retained_bytes",
            "Total number of bytes in virtual memory mappings", v);
}

static void collect(struct sx_sample_sink *sink, void *arg)
{
    char text[8192];
    struct rusage ru;
    struct rlimit rl;
    double v;

    (void)arg;
    if (read_small("/proc/self/status", text, sizeof(text)) < 0)
        text[0] = '\0';
    memory(sink, text);
    if (field(text, "Threads:", 1, &v))
        add(sink, SX_METRIC_GAUGE, "process_threads", "count of active threads", v);
    if (count_lines("/proc/self/maps", &v))
        add(sink, SX_METRIC_GAUGE, "process_open_mmaps", "count of open mmaps", v);
    if (read_small("/proc/sys/vm/max_map_count", text, sizeof(text)) > 0)
        add(sink, SX_METRIC_GAUGE, "system_max_mmaps", "system wide limit of open mmaps",
            (double)strtoull(text, NULL, 10));
    if (count_fds(&v))
        add(sink, SX_METRIC_GAUGE, "process_open_fds", "count of currently open file descriptors",
            v);
    if (getrlimit(RLIMIT_NOFILE, &rl) == 0)
        add(sink, SX_METRIC_GAUGE, "process_max_fds", "limit for open file descriptors",
            rl.rlim_cur == RLIM_INFINITY ? __builtin_inf() : (double)rl.rlim_cur);
    if (getrusage(RUSAGE_SELF, &ru) == 0) {
        add(sink, SX_METRIC_COUNTER, "process_minor_page_faults_total",
            "count of minor page faults which didn't cause a disk access", (double)ru.ru_minflt);
        add(sink, SX_METRIC_COUNTER, "process_major_page_faults_total",
            "count of disk accesses caused by a mmap page fault", (double)ru.ru_majflt);
    }
}

int sx_procstat_register(void)
{
    return sx_telem_table()->collector(collect, NULL);
}
