# Ring, threads, connections, TLS, shards.
list(APPEND SERVER_SOURCES address.c call.c clock.c conn.c conn_connect.c conn_input.c
    conn_move.c conn_output.c conn_proxy.c conn_tls.c conn_zero_copy.c data.c inbox.c limit.c
    listen.c output_pool.c process.c process_stop.c rand.c ring.c ring_buffers.c ring_disk.c
    ring_ops.c shard.c stats.c thread.c timer.c tls.c tls_client.c tls_context.c tls_store.c tls_ticket.c worker.c)
