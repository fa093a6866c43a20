/* Any bytes as the messages of a login: the first byte chooses the mechanism, 0xff ends a message. Nobody gets in. */
#include "auth/auth_internal.h"
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static struct auth_users *users(void)
{
	static struct auth_users *opened;
	char path[] = "/tmp/smack-fuzz-XXXXXX";
	struct sm_error error;
	if (opened)
		return opened;
	int fd = mkstemp(path);
	static const char line[] = "smack users 1\nuser SCRAM-SHA-256 4096 W22ZaJ0SNY7soEsUEjb6gQ== "
				   "WG5d8oPm3OtcPnkdi4Uo7BkeZkBFzpcXkuLmtbsT4qY= wfPLwcE6nTWhTAmQ7tl2KeoiWGPlZqQxSrmfPwDl2dU=\n";
	if (fd < 0 || write(fd, line, sizeof line - 1) < 0 || auth_users_open(path, &opened, &error))
		abort();
	close(fd);
	unlink(path);
	return opened;
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	if (!size)
		return 0;
	struct auth_sasl *s = auth_sasl_new(users(), (enum auth_mechanism)(data[0] % AUTH_MECHANISMS));
	struct bytes rest = bytes_of(data + 1, size - 1);
	enum auth_step step = AUTH_CONTINUE;
	if (!s)
		return 0;
	while (step == AUTH_CONTINUE && rest.size) {
		const uint8_t *end = memchr(rest.data, 0xff, rest.size);
		size_t n = end ? (size_t)(end - rest.data) : rest.size, skip = n + (end != NULL);
		struct buf out;
		buf_init(&out);
		step = auth_sasl_step(s, bytes_of(rest.data, n), &out);
		buf_done(&out);
		rest = bytes_of(rest.data + skip, rest.size - skip);
	}
	if (step == AUTH_COMPLETE && memcmp(data + 1, "\0user\0pencil", 12) != 0)
		abort();
	auth_sasl_free(s);
	return 0;
}
