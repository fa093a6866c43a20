/* Any bytes as the file of users or the file of rules; the first byte chooses. What was read is written and read once more. */
#include "auth/acl.h"
#include "auth/auth.h"
#include <stdio.h>
#include <stdlib.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void count(void *arg, const struct auth_acl *acl)
{
	++*(uint32_t *)arg;
}

static uint32_t rules(struct auth_acls *acls)
{
	uint32_t n = 0;
	const struct auth_acl_filter all = {.resource = 1, .pattern = 1, .operation = 1, .permission = 1};
	auth_acls_list(acls, &all, count, &n);
	return n;
}

static void as_rules(const char *path)
{
	struct auth_acls *acls, *again;
	struct sm_error error;
	struct auth_acls_options options = {.path = path};
	if (auth_acls_open(&options, &acls, &error))
		return;
	const struct auth_acl one = {
		AUTH_RESOURCE_TOPIC, AUTH_PATTERN_LITERAL, AUTH_OPERATION_READ, AUTH_PERMISSION_ALLOW, "t %", "User:u", "*"};
	char copy[] = "/tmp/smack-fuzz-acls-XXXXXX";
	int fd = mkstemp(copy);
	if (fd < 0)
		abort();
	close(fd);
	unlink(copy);
	/* A change writes them all, to a place of their own. */
	options.path = copy;
	struct auth_acls *other;
	if (auth_acls_open(&options, &other, &error) || auth_acls_add(other, &one, 1, &error) || auth_acls_open(&options, &again, &error))
		abort();
	if (rules(again) != 1 || rules(acls) > AUTH_ACLS_MAX)
		abort();
	unlink(copy);
	auth_acls_free(again);
	auth_acls_free(other);
	auth_acls_free(acls);
}

static void as_users(const char *path)
{
	struct auth_users *users;
	struct sm_error error;
	struct buf out;
	if (auth_users_open(path, &users, &error))
		return;
	buf_init(&out);
	if (auth_users_list(path, &out, &error))
		abort();
	buf_done(&out);
	auth_users_free(users);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	char path[40];
	if (!size)
		return 0;
	int fd = memfd_create("fuzz", MFD_CLOEXEC);
	if (fd < 0 || fchmod(fd, 0600) || write(fd, data + 1, size - 1) < 0)
		abort();
	snprintf(path, sizeof path, "/proc/self/fd/%d", fd);
	if (data[0] & 1)
		as_rules(path);
	else
		as_users(path);
	close(fd);
	return 0;
}
