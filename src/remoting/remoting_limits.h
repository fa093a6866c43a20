/* Bounds of the remoting room. */
#ifndef REMOTING_REMOTING_LIMITS_H
#define REMOTING_REMOTING_LIMITS_H

#define REMOTING_NAME_MAX 64   /* bytes of a system's name */
#define REMOTING_WHERE_MAX 400 /* of what stands behind the @ of an address */
#define REMOTING_PATH_MAX 2048 /* of an actor's path and number */
#define REMOTING_TEXT_MAX (REMOTING_NAME_MAX + REMOTING_WHERE_MAX + REMOTING_PATH_MAX + 32)
#define REMOTING_SECRET_MIN 16
#define REMOTING_HELLO_MAX 1024 /* of a frame before its sender is let in */
#define REMOTING_MESSAGE_DEFAULT 262144
#define REMOTING_MESSAGE_MAX (16u << 20)
#define REMOTING_FRAME_EXTRA 73728 /* of a frame beside the message in it */
#define REMOTING_SERIALIZERS_MAX 4096
#define REMOTING_REFS_MAX 65536        /* references to actors elsewhere */
#define REMOTING_NAMES_MAX 65536       /* of actors here that peers have used: what is beyond is forgotten and looked for again */
#define REMOTING_PEERS_MAX 1024        /* systems that are known */
#define REMOTING_QUARANTINED_MAX 16384 /* UIDs; beyond, the oldest are forgotten */
#define REMOTING_WATCHES_MAX 16384     /* of one peer's actors on those here */
#define REMOTING_RESOLVES_MAX 1024     /* under way */
#define REMOTING_FOUND_MAX 256         /* actors under a key that a peer is told of, */
#define REMOTING_FOUND_BYTES 65536     /* and bytes of their names */
#define REMOTING_CONNECTIONS_MAX 1024  /* incoming ones, those included that are not let in yet */
#define REMOTING_UNACKED_BYTES (16u << 20)
#define REMOTING_UNACKED_DEFAULT 20000
#define REMOTING_HEARTBEAT_MS 1000
#define REMOTING_PAUSE_MS 10000
#define REMOTING_DEVIATION_MS 100
#define REMOTING_THRESHOLD 10.0
#define REMOTING_CONNECT_MS 3000 /* a thread of the pool waits for a connection so long */
#define REMOTING_HANDSHAKE_MS 10000
#define REMOTING_BACKOFF_MIN_MS 100
#define REMOTING_BACKOFF_MAX_MS 10000
#define REMOTING_CROSSING_MS 1000 /* two connections that were made by both sides at the same time: one of them stays */
#define REMOTING_SAMPLES 200      /* intervals that the failure detector remembers */
#define REMOTING_SWEEP_EVERY 4096 /* new references before unused ones are looked for */
#define REMOTING_PROCESSES_MAX 256
#define REMOTING_START_MS 30000
#define REMOTING_STOP_MS 5000
#define REMOTING_REAP_MS 20 /* between two looks at a process that is to end */

#endif
