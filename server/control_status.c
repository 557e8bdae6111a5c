#include "server/control_status.h"

#include "server/admin.h"
#include "server/queue.h"

static void put(struct out *out, const char *name, uint64_t value)
{
    out_str(out, name);
    out_byte(out, '=');
    out_u64(out, value);
    out_byte(out, '\n');
}

static void put_of(struct out *out, unsigned thread, const char *name, uint64_t value)
{
    out_str(out, "thread");
    out_u64(out, thread);
    out_byte(out, '.');
    put(out, name, value);
}

static void read_queue(struct thread *t, void *arg)
{
    queue_stats(t, arg);
}

static void put_queue(struct process *p, unsigned i, struct out *out)
{
    struct queue_stats s;

    process_run(p, i, read_queue, &s);
    put_of(out, i, "queue-messages", s.entries);
    put_of(out, i, "queue-memory", s.bytes);
    put_of(out, i, "queue-held", s.held);
    put_of(out, i, "queue-destinations", s.destinations);
    put_of(out, i, "queue-destinations-resting", s.resting);
    put_of(out, i, "queue-sessions", s.sessions);
    put_of(out, i, "queue-delivered", s.delivered);
    put_of(out, i, "queue-relayed", s.relayed);
    put_of(out, i, "queue-deferred", s.deferred);
    put_of(out, i, "queue-refused", s.failed);
    put_of(out, i, "queue-expired", s.expired);
    put_of(out, i, "queue-reports", s.reports);
    put_of(out, i, "queue-unsure", s.unsure);
}

static void read_admin(struct thread *t, void *arg)
{
    admin_stats(t, arg);
}

static void put_thread(struct process *p, unsigned i, struct out *out)
{
    struct thread_stats s;
    struct admin_stats a;

    process_stats(p, i, &s);
    process_run(p, i, read_admin, &a);
    put_of(out, i, "connections", s.connections);
    put_of(out, i, "accepted", s.accepted);
    put_of(out, i, "refused", s.connections_refused);
    put_of(out, i, "moved", s.connections_moved);
    put_of(out, i, "turns", s.turns);
    put_of(out, i, "longest-turn-us", s.longest_turn_ns / 1000);
    put_of(out, i, "longest-turn-cpu-us", s.longest_turn_cpu_ns / 1000);
    put_of(out, i, "bytes-in", s.bytes_in);
    put_of(out, i, "bytes-out", s.bytes_out);
    put_of(out, i, "buffered", s.buffered);
    put_of(out, i, "handshakes", s.handshakes);
    put_of(out, i, "handshakes-resumed", s.handshakes_resumed);
    put_of(out, i, "handshakes-failed", s.handshakes_failed);
    put_of(out, i, "logins", a.logins);
    put_of(out, i, "password-checks", a.checks);
    put_of(out, i, "password-checks-failed", a.failed);
    put_of(out, i, "password-checks-remembered", a.remembered);
    put_of(out, i, "password-checks-busy", a.busy);
    put_of(out, i, "hashes-waiting", a.waiting);
    put_queue(p, i, out);
}

void control_status(struct process *process, const struct accounts *accounts,
    int64_t uptime_s, struct out *out)
{
    put(out, "uptime-s", (uint64_t)uptime_s);
    put(out, "users", accounts_count(accounts));
    put(out, "aliases", accounts_alias_count(accounts));
    put(out, "threads", process_threads(process));
    put(out, "shards", process_shards(process));
    put(out, "memory-bound", process_memory_bound(process));
    for (unsigned i = 0; i < process_threads(process); i++)
        put_thread(process, i, out);
}
