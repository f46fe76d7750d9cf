/* The order in which families stand in the page: that of spec chapter 01 section 8.2, so that what
 * reads the reference server's page by eye or by line finds the same picture here. */
#include <string.h>

#include "prom.h"

/* Last: it poisons names. */
#include "sextant/sx_ban.h"

static const char *const families[] = {
    "app_info",
    "app_status_recovery_mode",
    "audit_log_dir_size_bytes",
    "collections_total",
    "collections_vector_total",
    "collection_vectors",
    "collection_indexed_only_excluded_points",
    "collection_active_replicas_min",
    "collection_active_replicas_max",
    "collection_running_optimizations",
    "collection_points",
    "collection_dead_replicas",
    "snapshot_creation_running",
    "snapshot_recovery_running",
    "snapshot_created_total",
    "collection_shard_transfer_incoming",
    "collection_shard_transfer_outgoing",
    "collection_update_queue_length",
    "collection_update_queue_deferred_points",
    "cluster_enabled",
    "cluster_peers_total",
    "cluster_term",
    "cluster_commit",
    "cluster_pending_operations_total",
    "cluster_voter",
    "cluster_last_update_timestamp_seconds",
    "cluster_working_state",
    "rest_responses_total",
    "rest_responses_fail_total",
    "rest_responses_avg_duration_seconds",
    "rest_responses_min_duration_seconds",
    "rest_responses_max_duration_seconds",
    "rest_responses_duration_seconds",
    "grpc_responses_total",
    "grpc_responses_fail_total",
    "grpc_responses_avg_duration_seconds",
    "grpc_responses_min_duration_seconds",
    "grpc_responses_max_duration_seconds",
    "grpc_responses_duration_seconds",
    "collection_hardware_metric_cpu",
    "collection_hardware_metric_payload_io_read",
    "collection_hardware_metric_payload_index_io_read",
    "collection_hardware_metric_payload_index_io_write",
    "collection_hardware_metric_payload_io_write",
    "collection_hardware_metric_vector_io_read",
    "collection_hardware_metric_vector_io_write",
    "memory_active_bytes",
    "memory_allocated_bytes",
    "memory_metadata_bytes",
    "memory_resident_bytes",
    "memory_retained_bytes",
    "quota_exceeded",
    "process_threads",
    "process_open_mmaps",
    "system_max_mmaps",
    "process_open_fds",
    "process_max_fds",
    "process_minor_page_faults_total",
    "process_major_page_faults_total",
};

uint32_t prom_family_rank(const char *name, uint64_t n)
{
    for (uint32_t i = 0; i < SX_COUNT(families); i++)
        if (strlen(families[i]) == n && memcmp(families[i], name, n) == 0)
            return i;
    return SX_COUNT(families);
}
