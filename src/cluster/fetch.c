/* Files that a document asks for ("fetch", "uris"), brought into the sandbox before the command starts, as Mesos' fetcher does: from
 * file:// or a plain path, and from http:// and https://; archives are unpacked unless "extract" is false. */
#include "cluster/cluster_internal.h"
#include <errno.h>
#include <fcntl.h>
#include <spawn.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

extern char **environ;

struct item {
	const char *uri;
	char name[256]; /* in the sandbox */
	bool extract, executable;
};

/* ---- documents ---- */

static bool has_prefix(const char *text, const char *prefix)
{
	return strncmp(text, prefix, strlen(prefix)) == 0;
}

static bool is_http(const char *uri)
{
	return has_prefix(uri, "http://") || has_prefix(uri, "https://");
}

static const char *local_path(const char *uri)
{
	return has_prefix(uri, "file://") ? uri + 7 : *uri == '/' ? uri : NULL;
}

/* The last part of the path, without what stands behind '?'. */
static void name_of(const char *uri, char *out, size_t size)
{
	size_t n = is_http(uri) ? strcspn(uri, "?#") : strlen(uri);
	size_t from = n;
	while (from && uri[from - 1] != '/')
		from--;
	snprintf(out, size, "%.*s", (int)(n - from), uri + from);
}

static bool safe_name(const char *name)
{
	return *name && *name != '/' && strcmp(name, ".") != 0 && strcmp(name, "..") != 0 && !strstr(name, "../") &&
	       strcmp(name, "stdout") != 0 && strcmp(name, "stderr") != 0 && strlen(name) < sizeof((struct item *)0)->name;
}

static bool flag(const json_t *entry, const char *name, bool absent)
{
	const json_t *v = json_object_get(entry, name);
	return v ? json_is_true(v) : absent;
}

/* entry: a member of "fetch", or a string of "uris". */
static enum sm_err read_item(const json_t *entry, struct item *ret, struct sm_error *reterr)
{
	bool text = json_is_string(entry);
	const char *uri = json_string_value(text ? entry : json_object_get(entry, "uri")),
		   *file = json_string_value(json_object_get(entry, "outputFile"));
	if (!uri || !*uri)
		return sm_fail(reterr, SM_INVALID, "\"fetch\": each entry is an object with a \"uri\"");
	if (!is_http(uri) && !local_path(uri))
		return sm_fail(reterr, SM_UNSUPPORTED, "\"fetch\": '%s': file://, a path, http:// and https:// are there", uri);
	*ret = (struct item){.uri = uri,
			     .extract = flag(entry, "extract", true) && !flag(entry, "executable", false),
			     .executable = flag(entry, "executable", false)};
	if (!file)
		file = json_string_value(json_object_get(entry, "destPath"));
	if (file && strlen(file) < sizeof ret->name)
		snprintf(ret->name, sizeof ret->name, "%s", file);
	else
		name_of(uri, ret->name, sizeof ret->name);
	if (!safe_name(ret->name))
		return sm_fail(reterr, SM_INVALID, "\"fetch\": '%s' gives no name of a file in the sandbox", file ? file : uri);
	return SM_OK;
}

enum sm_err cluster__fetch_check(const json_t *document, struct sm_error *reterr)
{
	static const char *const members[] = {"fetch", "uris"};
	const json_t *lists[2];
	for (int i = 0; i < 2; i++) {
		lists[i] = json_object_get(document, members[i]);
		if (lists[i] && !json_is_null(lists[i]) && !json_is_array(lists[i]))
			return sm_fail(reterr, SM_INVALID, "\"%s\" must be a list", members[i]);
	}
	if (json_array_size(lists[0]) && json_array_size(lists[1]))
		return sm_fail(reterr, SM_INVALID, "give either \"fetch\" or \"uris\"");
	for (int i = 0; i < 2; i++) {
		size_t n;
		json_t *entry;
		struct item item;
		if (json_array_size(lists[i]) > CLUSTER_FETCH_MAX)
			return sm_fail(reterr, SM_TOO_LARGE, "\"%s\" has more than %d entries", members[i], CLUSTER_FETCH_MAX);
		json_array_foreach((json_t *)(uintptr_t)lists[i], n, entry)
		{
			enum sm_err err = read_item(entry, &item, reterr);
			if (err)
				return err;
		}
	}
	return SM_OK;
}

/* ---- bringing them ---- */

static enum sm_err write_all(int fd, const uint8_t *data, size_t size)
{
	while (size) {
		ssize_t n = write(fd, data, size);
		if (n < 0 && errno == EINTR)
			continue;
		if (n <= 0)
			return SM_IO;
		data += n;
		size -= (size_t)n;
	}
	return SM_OK;
}

static enum sm_err copy_file(const char *from, int to, const atomic_bool *cancelled, struct sm_error *reterr)
{
	int fd = open(from, O_RDONLY | O_CLOEXEC);
	struct stat st;
	enum sm_err err = SM_OK;
	if (fd < 0)
		return sm_fail_errno(reterr, errno, "cannot fetch %s", from);
	if (fstat(fd, &st) == 0 && !S_ISREG(st.st_mode))
		err = sm_fail(reterr, SM_INVALID, "cannot fetch %s: it is no file", from);
	for (;;) {
		uint8_t data[65536];
		ssize_t n = err || atomic_load(cancelled) ? 0 : read(fd, data, sizeof data);
		if (n < 0 && errno == EINTR)
			continue;
		if (n < 0 || (n > 0 && write_all(to, data, (size_t)n)))
			err = sm_fail_errno(reterr, errno, "cannot copy %s", from);
		if (n <= 0 || err)
			break;
	}
	close(fd);
	return err;
}

static enum sm_err download(const char *uri, int to, struct sm_error *reterr)
{
	struct http_client *client;
	struct http_response response;
	enum sm_err err = http_client_new(&client);
	if (err)
		return sm_fail(reterr, err, "no memory");
	err = http_client_do(client, "GET", uri, NULL, (struct bytes){0}, CLUSTER_FETCH_TIMEOUT_MS, &response, reterr);
	if (!err) {
		struct bytes body = buf_bytes(&response.body);
		if (response.status != 200)
			err = sm_fail(reterr, SM_NOT_FOUND, "cannot fetch %s: status %d", uri, response.status);
		else if (write_all(to, body.data, body.size))
			err = sm_fail_errno(reterr, errno, "cannot write what %s gives", uri);
		http_response_done(&response);
	}
	http_client_free(client);
	return err;
}

/* ---- unpacking ---- */

static bool ends(const char *name, const char *suffix)
{
	size_t n = strlen(name), k = strlen(suffix);
	return n > k && strcmp(name + n - k, suffix) == 0;
}

/* A program of the system, in the sandbox; its end is waited for. */
static enum sm_err run(char *const *argv, const char *sandbox, struct sm_error *reterr)
{
	posix_spawn_file_actions_t actions;
	posix_spawnattr_t attributes;
	sigset_t none;
	pid_t pid;
	int status = -1;
	posix_spawn_file_actions_init(&actions);
	posix_spawn_file_actions_addchdir_np(&actions, sandbox);
	posix_spawn_file_actions_addopen(&actions, 0, "/dev/null", O_RDONLY, 0);
	posix_spawn_file_actions_addopen(&actions, 1, "/dev/null", O_WRONLY, 0);
	posix_spawn_file_actions_addopen(&actions, 2, "stderr", O_WRONLY | O_CREAT | O_APPEND, 0600);
	posix_spawnattr_init(&attributes);
	sigemptyset(&none);
	posix_spawnattr_setsigmask(&attributes, &none);
	posix_spawnattr_setflags(&attributes, POSIX_SPAWN_SETSIGMASK);
	int failed = posix_spawnp(&pid, argv[0], &actions, &attributes, argv, environ);
	posix_spawn_file_actions_destroy(&actions);
	posix_spawnattr_destroy(&attributes);
	if (failed)
		return sm_fail_errno(reterr, failed, "cannot unpack: cannot run %s", argv[0]);
	while (waitpid(pid, &status, 0) < 0 && errno == EINTR)
		;
	return status == 0 ? SM_OK : sm_fail(reterr, SM_FAILED, "%s could not unpack it: see the task's stderr", argv[0]);
}

#define WORD(text) ((char *)(uintptr_t)(text))
static enum sm_err unpack(const char *name, const char *sandbox, struct sm_error *reterr)
{
	static const char *const tar[] = {".tar", ".tar.gz", ".tgz", ".tar.bz2", ".tbz2", ".tar.xz", ".txz", NULL};
	for (const char *const *t = tar; *t; t++)
		if (ends(name, *t)) {
			char *const argv[] = {WORD("tar"), WORD("--no-same-owner"), WORD("-xf"), WORD(name), NULL};
			return run(argv, sandbox, reterr);
		}
	if (ends(name, ".gz")) {
		char *const argv[] = {WORD("gzip"), WORD("-dkf"), WORD(name), NULL};
		return run(argv, sandbox, reterr);
	}
	if (ends(name, ".zip")) {
		char *const argv[] = {WORD("unzip"), WORD("-oq"), WORD(name), NULL};
		return run(argv, sandbox, reterr);
	}
	return SM_OK;
}

static enum sm_err bring(const struct item *item, const char *sandbox, const atomic_bool *cancelled, struct sm_error *reterr)
{
	char path[PATH_MAX + 260];
	snprintf(path, sizeof path, "%s/%s", sandbox, item->name);
	if (strchr(item->name, '/')) {
		char dir[sizeof path];
		snprintf(dir, sizeof dir, "%s", path);
		*strrchr(dir, '/') = 0;
		enum sm_err err = io_mkdir_all(&io_system, dir, reterr);
		if (err)
			return err;
	}
	int to = open(path, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC | O_NOFOLLOW, item->executable ? 0700 : 0600);
	if (to < 0)
		return sm_fail_errno(reterr, errno, "cannot make %s in the sandbox", item->name);
	const char *from = local_path(item->uri);
	enum sm_err err = from ? copy_file(from, to, cancelled, reterr) : download(item->uri, to, reterr);
	if (close(to) && !err)
		err = sm_fail_errno(reterr, errno, "cannot write %s in the sandbox", item->name);
	return err || !item->extract ? err : unpack(item->name, sandbox, reterr);
}

enum sm_err cluster__fetch(const json_t *document, const char *sandbox, const atomic_bool *cancelled, struct sm_error *reterr)
{
	static const char *const members[] = {"fetch", "uris"};
	for (int i = 0; i < 2; i++) {
		size_t n;
		json_t *entry;
		json_array_foreach(json_object_get(document, members[i]), n, entry)
		{
			struct item item;
			enum sm_err err = read_item(entry, &item, reterr);
			if (!err && !atomic_load(cancelled))
				err = bring(&item, sandbox, cancelled, reterr);
			if (err)
				return err;
		}
	}
	return SM_OK;
}
