# Hops with a peer that plays a script, over loopback; and with one that says anything, on
# a connection that is played too.
ringmail_test(test_hop THREADS server/test_hop.c server/hop_peer.c LIBS ringmail_server)

set(HOP_SOURCES)
foreach(file hop hop_answer hop_convert hop_fit hop_greet hop_send hop_text idn address)
    list(APPEND HOP_SOURCES ${PROJECT_SOURCE_DIR}/server/${file}.c)
endforeach()
ringmail_fuzz(fuzz_hop server/fuzz_hop.c ${HOP_SOURCES} LIBS ringmail_proto idn2)
