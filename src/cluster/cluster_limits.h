/* Limits of apps, jobs and tasks. */
#ifndef CLUSTER_LIMITS_H
#define CLUSTER_LIMITS_H

#define CLUSTER_DOCUMENT_MAX (256u << 10) /* bytes of one app or job */
#define CLUSTER_APPS_MAX 1000
#define CLUSTER_JOBS_MAX 10000
#define CLUSTER_PARENTS_MAX 64    /* of one job */
#define CLUSTER_DEPTH_MAX 64      /* jobs after jobs after jobs */
#define CLUSTER_INSTANCES_MAX 100 /* of one app */
#define CLUSTER_PORTS_MAX 8       /* of one task */
#define CLUSTER_PORT_FIRST 31000  /* given to tasks, as Mesos' agents do */
#define CLUSTER_PORT_LAST 32000
#define CLUSTER_FETCH_MAX 64 /* files of one task */
#define CLUSTER_FETCH_TIMEOUT_MS 60000
#define CLUSTER_CHECKS_MAX 8     /* health and readiness checks of one app */
#define CLUSTER_PROBES_MAX 4     /* that are under way at once */
#define CLUSTER_VERSIONS_KEPT 20 /* former documents of one app */
#define CLUSTER_RUNS_KEPT 100    /* of which a job's times are told */
#define CLUSTER_GROUP_DEPTH_MAX 16
#define CLUSTER_OUTPUT_MAX (16u << 20) /* bytes of one task's stdout or stderr that are kept */
#define CLUSTER_SANDBOXES_KEPT 5       /* of ended tasks, for each app or job */
#define CLUSTER_KILL_GRACE_MS 3000     /* between SIGTERM and SIGKILL, as Mesos' command executor */

#endif
