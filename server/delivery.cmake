# Of the way of a message to the stores: what becomes entries of the queue.
list(APPEND SERVER_SOURCES delivery_queue.c)
