#include "base/logging.h"
#include "base/buf.h"
#include "base/clock.h"
#include <stdatomic.h>
#include <stdio.h>
#include <unistd.h>

static _Atomic int least_level = LOG_LEVEL_INFO;
static _Atomic bool as_json;

void logging_set(enum log_level least, bool json)
{
	atomic_store(&least_level, (int)least);
	atomic_store(&as_json, json);
}

void log_line(enum log_level level, const char *room, const char *fmt, ...)
{
	static const char *const names[] = {"debug", "info", "warn", "error"};
	if ((int)level < atomic_load(&least_level))
		return;
	char text[1024], when[32];
	va_list args;
	va_start(args, fmt);
	int n = vsnprintf(text, sizeof text, fmt, args);
	va_end(args);
	if (n < 0)
		return;
	size_t size = (size_t)n < sizeof text ? (size_t)n : sizeof text - 1;
	/* One event is one line, whatever was in the arguments. */
	for (size_t i = 0; i < size; i++)
		if (text[i] == '\n' || text[i] == '\r')
			text[i] = ' ';
	civil_format(clock_wall_ms(&clock_system), when);
	struct buf line;
	buf_init(&line);
	if (atomic_load(&as_json)) {
		buf_printf(&line, "{\"time\":\"%s\",\"level\":\"%s\",\"room\":\"%s\",\"message\":", when, names[level], room);
		buf_json_string(&line, bytes_of(text, size));
		buf_append_str(&line, "}\n");
	} else {
		buf_printf(&line, "%s %-5s %s ", when, names[level], room);
		buf_append(&line, text, size);
		buf_u8(&line, '\n');
	}
	struct bytes b = buf_bytes(&line);
	while (b.size) {
		ssize_t done = write(STDERR_FILENO, b.data, b.size);
		if (done <= 0)
			break; /* a log that cannot be written has nowhere to say so */
		b.data += done;
		b.size -= (size_t)done;
	}
	buf_done(&line);
}
