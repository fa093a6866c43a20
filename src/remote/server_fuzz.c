/* Whole frames into a server that has a topic and a table: it answers or hangs up, and lives. */
#include "remote/testing.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static struct remote_machine machine;

static void end(void)
{
	remote_machine_end(&machine);
}

static void begin(void)
{
	struct sm_error error;
	struct log_topic_spec spec = {"t", 1, 1, NULL, 0};
	if (remote_machine_start(&machine, NULL, &error) || log_topic_create_wait(machine.log, &spec, &error)) {
		fprintf(stderr, "%s\n", error.text);
		abort();
	}
	atexit(end);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	static const uint8_t hello[] = {0, 0, 0, 7, REMOTE_HELLO, 0, 0, 0, 1, 0, REMOTE_VERSION};
	char dropped[4096];
	if (!machine.server)
		begin();
	int fd = remote_machine_connect(&machine);
	if (fd < 0)
		abort(); /* it does not live */
	if (size < 65536 && send(fd, hello, sizeof hello, MSG_NOSIGNAL) == sizeof hello && send(fd, data, size, MSG_NOSIGNAL) >= 0)
		shutdown(fd, SHUT_WR);
	else
		shutdown(fd, SHUT_RDWR);
	while (recv(fd, dropped, sizeof dropped, 0) > 0)
		;
	close(fd);
	return 0;
}
