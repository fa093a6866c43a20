/* Limits of streaming jobs. */
#ifndef STREAM_LIMITS_H
#define STREAM_LIMITS_H

#define STREAM_INTERVAL_MS 10000u
#define STREAM_BATCH_RECORDS 100000u   /* of one micro-batch */
#define STREAM_BATCH_BYTES (64u << 20) /* of records read for it, unpacked */
#define STREAM_READ_BYTES (1u << 20)   /* one read of the log */
#define STREAM_WRITE_BYTES_MAX \
	(32u << 20)                /* mutations in memory; more than that: fewer records are taken. Well below STORE_BATCH_BYTES_MAX */
#define STREAM_APPLY_WAIT_MS 30000 /* a store that pushes back is asked again for so long */
#define STREAM_CLAIMS_AHEAD 64     /* claims that are asked for before they are needed */
#define STREAM_SOURCES_MAX 64      /* topics of one job */
#define STREAM_NAME_MAX 200
#define STREAM_RESTARTS_MAX 10 /* within STREAM_RESTART_WINDOW_MS, then the job has failed */
#define STREAM_RESTART_WINDOW_MS 300000
#define STREAM_RESTART_MIN_MS 100
#define STREAM_RESTART_MAX_MS 10000

#endif
