/* Kind consensus: one agreed order of metadata commands on all peers of a cluster.
 *
 * iface_version 0: written before its first user, so it may still be corrected by it.
 *
 * What goes through it. Collections, aliases, shard keys, replica states, transfers, payload
 * indexes and membership: commands of some hundred bytes, a few per second at most. Points never
 * do; shards replicate those themselves with clock tags. So the interface may favour plainness over
 * speed: whole commands as bytes, one callback per applied command, no batching visible to the
 * caller.
 *
 * A single node has no provider of this kind and loses nothing: the engine then applies a command
 * by calling the very function that it registers here as apply(). "No cluster" is therefore not a
 * second code path, only a shorter one, and everything a command does is tested without a network.
 *
 * What a provider is. A thin shell over an existing raft library: elections, the log, replication
 * and snapshots of the log are the library's; files go through sx.io so that power cuts can be
 * replayed; messages go through a sink, since the peer protocol belongs to its transport. Time
 * comes from ticks that the host gives, randomness from a seed: a whole cluster runs in one thread,
 * with a simulated clock, network and disks, and every failure has a number that brings it back.
 *
 * Who calls what, on which thread:
 *   propose     [L, A]  any peer; it is forwarded to the leader by the provider. done() runs on the
 *                       loop given, once the command was *applied here*, so that a client that
 *                       created a collection can use it on the same peer at once
 *   step, tick  [S]     the consensus strand: one task at a time, never a loop thread
 *   apply       [S]     on that strand, in log order, exactly once per index on a peer's life:
 *                       the last applied index is saved with the metadata it produced
 *   snapshot    [S]     takes a copy of the metadata as of the last applied index; restore replaces
 *                       it. Both are streams, since ten thousand collections are some megabytes
 *
 * apply() cannot fail. A command that makes no sense (a collection that exists already) is recorded
 * as refused and its text travels back to the proposer in done(); an error that would differ
 * between peers (a full disk) must not decide what the metadata says: the peer marks its own
 * replica dead and goes on. One bad entry that stops the log has cost other servers whole clusters.
 *
 * Membership. A peer joins as learner and becomes voter when it has caught up; one change at a
 * time. Addresses travel as context of the change. Removing a peer, losing it for ever and starting
 * again from one survivor (reinit) are operations of this table and not of a shell script.
 *
 * Ownership. Bytes given to propose, step and restore are borrowed for the call. Bytes given to
 * apply and send are the provider's, valid during the call. Handles end with close().
 *
 * Durability. Terms, votes and entries are synced before a message that promises them leaves (the
 * library asks for it through its io table). The engine syncs what apply() changed before it
 * reports applied(); after a crash the commands between are applied again, which is why a command
 * carries its index and is skipped where the metadata has seen it.
 *
 * Rejected:
 *  - exposing the library's types (raft_io, raft_fsm): the table would change with its versions,
 * and a second implementation could not be anything but a fork;
 *  - letting the provider own sockets: peers are authenticated, encrypted and counted in one place;
 *  - reads through the log: they come from the applied metadata of any peer. Where a caller needs
 *    the latest state it waits for the commit index a leader has told (wait_applied). */
#ifndef SX_CONSENSUS_H
#define SX_CONSENSUS_H

#include "sextant/sx_service.h"

#ifdef __cplusplus
extern "C" {
#endif

#define SX_CONSENSUS_IFACE    0u
#define SX_CONSENSUS_LEARNERS 1ull /* non-voting members; absent: a joiner votes at once */
#define SX_CONSENSUS_TRANSFER 2ull /* transfer_leader() */
#define SX_CONSENSUS_PREVOTE  4ull

enum { SX_PEER_VOTER = 1, SX_PEER_LEARNER = 2 };
enum { SX_ROLE_FOLLOWER = 1, SX_ROLE_CANDIDATE = 2, SX_ROLE_LEADER = 3, SX_ROLE_STOPPED = 4 };

struct sx_peer {
    uint64_t id;
    uint32_t role, pad; /* SX_PEER_* */
    struct sx_str uri;
};

struct sx_consensus_state {
    uint32_t size, role;                     /* SX_ROLE_* */
    uint64_t self, leader;                   /* leader 0 = unknown */
    uint64_t term, commit, applied, pending; /* pending: committed and not applied yet */
    uint64_t last_message_ms;                /* since the last message of another peer */
};

/* What the engine gives; valid until close(). */
struct sx_consensus_host {
    uint32_t size, pad;
    void *ctx;
    /* [S] Applies the command of this index; *reply is appended to and travels to the proposer.
     * Never fails; a refused command writes the refusal. */
    void (*apply)(void *ctx, uint64_t index, const void *cmd, uint64_t n, struct sx_buf *reply);
    /* [S] Appends all metadata as of the last applied index. */
    int (*snapshot)(void *ctx, struct sx_buf *out, struct sx_err *err);
    /* [S] Replaces all metadata. */
    int (*restore)(void *ctx, uint64_t index, const void *p, uint64_t n, struct sx_err *err);
    /* [S] Hands one message to the peer protocol; lost messages are the library's business. */
    void (*send)(void *ctx, uint64_t peer, struct sx_str uri, const void *msg, uint64_t n);
    /* [S] members or leader changed: look at members() and state() again. */
    void (*changed)(void *ctx);
};

struct sx_consensus_conf {
    uint32_t size, pad;
    uint64_t peer_id; /* of a new peer; 0 = random, an existing directory keeps its own */
    struct sx_str uri, bootstrap; /* bootstrap empty = first peer of a new deployment */
    uint32_t reinit, message_timeout_ticks;
    uint64_t compact_entries; /* 0 = never */
    uint64_t seed;            /* of election timeouts */
};

struct sx_consensus_done {
    /* [L] rc 0 with the reply of apply(), SX_ETIMEOUT (the command may still be applied), or
     * SX_EUNAVAIL (no leader; nothing happened). */
    void (*fn)(struct sx_consensus_done *d, int rc, const void *reply, uint64_t n);
    struct sx_loop *loop;
    void *arg;
};

struct sx_consensus_ops {
    uint32_t size, pad;
    /* [M, blocks] opens or creates the log in `dir`; replays what is committed and not applied by
     * calling apply(). Returns an owned handle. */
    int (*open)(void *self,
                const struct sx_io *io,
                struct sx_dir *dir,
                const struct sx_consensus_conf *conf,
                const struct sx_consensus_host *host,
                uint64_t applied,
                void **out,
                struct sx_err *err);
    void (*close)(void *self, void *h); /* [M] takes the handle; no call on it runs */
    /* [L, A] never blocks. done is borrowed until its fn has run, exactly once. */
    void (*propose)(void *self,
                    void *h,
                    const void *cmd,
                    uint64_t n,
                    uint64_t deadline_ns,
                    struct sx_consensus_done *done);
    int (*step)(void *self,
                void *h,
                uint64_t from,
                const void *msg,
                uint64_t n,
                struct sx_err *err);   /* [S] a message of a peer arrived */
    void (*tick)(void *self, void *h); /* [S] one tick has passed */
    /* [S] the metadata up to this index is durable: the log may forget what lies before. */
    void (*applied)(void *self, void *h, uint64_t index);
    /* [L, A] fn runs once `index` has been applied here, or at the deadline. */
    void (*wait_applied)(
        void *self, void *h, uint64_t index, uint64_t deadline_ns, struct sx_consensus_done *done);
    int (*peer_add)(
        void *self, void *h, uint64_t id, struct sx_str uri, struct sx_err *err); /* [S] */
    int (*peer_remove)(void *self, void *h, uint64_t id, struct sx_err *err);     /* [S] */
    int (*transfer_leader)(void *self, void *h, uint64_t to, struct sx_err *err); /* [S] */
    /* [A] calls sink for every member. */
    void (*members)(void *self,
                    void *h,
                    void (*sink)(void *arg, const struct sx_peer *p),
                    void *arg);
    void (*state)(void *self, void *h, struct sx_consensus_state *out); /* [A] */
};

#ifdef __cplusplus
}
#endif
#endif
