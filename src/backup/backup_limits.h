/* Limits of archives. */
#ifndef BACKUP_LIMITS_H
#define BACKUP_LIMITS_H

#define BACKUP_DAYS_MAX 400        /* files open at once while a topic is archived */
#define BACKUP_LINE_MAX (1u << 20) /* a longer line is bad */
#define BACKUP_ROWS_A_BATCH 2000   /* rows of one atomic write */
#define BACKUP_FILES_MAX 100000    /* that a pattern may name */

#endif
