/* Structured logging: one line an event on stderr, `time level room message key=value ...`, or JSON lines.
 * Rooms below the entry points do not log; they return errors. */
#ifndef BASE_LOGGING_H
#define BASE_LOGGING_H

#include <smack/error.h>
#include <stdbool.h>

enum log_level { LOG_LEVEL_DEBUG, LOG_LEVEL_INFO, LOG_LEVEL_WARN, LOG_LEVEL_ERROR };
void logging_set(enum log_level least, bool json);
/* room: "kafka"; fmt makes the message. */
void log_line(enum log_level level, const char *room, const char *fmt, ...) SM_PRINTF(3, 4);
#define LOG_DEBUG(room, ...) log_line(LOG_LEVEL_DEBUG, room, __VA_ARGS__)
#define LOG_INFO(room, ...) log_line(LOG_LEVEL_INFO, room, __VA_ARGS__)
#define LOG_WARN(room, ...) log_line(LOG_LEVEL_WARN, room, __VA_ARGS__)
#define LOG_ERROR(room, ...) log_line(LOG_LEVEL_ERROR, room, __VA_ARGS__)

#endif
