/* Sandboxes, and what happens to a task on the pool before it runs: its sandbox, the files that it asks for, its start. */
#include "cluster/cluster_internal.h"
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <pwd.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <unistd.h>

void cluster__file_name(const char *owner, char *out, size_t size)
{
	size_t n = 0;
	for (owner += *owner == '/'; *owner && n + 1 < size; owner++)
		out[n++] = (*owner >= 'a' && *owner <= 'z') || (*owner >= 'A' && *owner <= 'Z') || (*owner >= '0' && *owner <= '9') ||
					   strchr("-.", *owner)
				   ? *owner
				   : '_';
	out[n] = 0;
	if (out[0] == '.')
		out[0] = '_';
}

/* ---- sandboxes ---- */

static int by_name(const struct dirent **a, const struct dirent **b)
{
	return strcmp((*a)->d_name, (*b)->d_name);
}

static int not_hidden(const struct dirent *e)
{
	return e->d_name[0] != '.';
}

static void delete_old(const char *dir)
{
	struct dirent **names;
	int n = scandir(dir, &names, not_hidden, by_name);
	for (int i = 0; i < n; i++) {
		char path[PATH_MAX];
		if (i < n - CLUSTER_SANDBOXES_KEPT && (size_t)snprintf(path, sizeof path, "%s/%s", dir, names[i]->d_name) < sizeof path)
			(void)!io_remove_tree(&io_system, path, NULL);
		free(names[i]);
	}
	if (n >= 0)
		free(names);
}

static enum sm_err make_sandbox(const struct cluster_task *t, struct sm_error *reterr)
{
	char owner[PATH_MAX];
	snprintf(owner, sizeof owner, "%s", t->sandbox);
	*strrchr(owner, '/') = 0;
	enum sm_err err = io_mkdir_all(&io_system, owner, reterr);
	if (err)
		return err;
	delete_old(owner);
	return io_mkdir_all(&io_system, t->sandbox, reterr);
}

enum sm_err cluster__output(struct cluster *c, const char *kind, const char *owner, const char *stream, size_t max, struct buf *out)
{
	char name[128], dir[PATH_MAX], path[PATH_MAX];
	struct dirent **names;
	cluster__file_name(owner, name, sizeof name);
	snprintf(dir, sizeof dir, "%s/%s/%s", c->dir, kind, name);
	int n = scandir(dir, &names, not_hidden, by_name);
	if (n < 0)
		return SM_NOT_FOUND;
	*path = 0;
	if (n > 0)
		snprintf(path, sizeof path, "%.*s/%.64s/%s", PATH_MAX - 128, dir, names[n - 1]->d_name, stream);
	for (int i = 0; i < n; i++)
		free(names[i]);
	free(names);
	int fd = *path ? open(path, O_RDONLY | O_CLOEXEC) : -1;
	struct stat st;
	if (fd < 0)
		return n > 0 ? SM_OK : SM_NOT_FOUND; /* nothing was written yet */
	if (!fstat(fd, &st)) {
		off_t at = (size_t)st.st_size > max ? st.st_size - (off_t)max : 0;
		size_t want = (size_t)(st.st_size - at);
		uint8_t *p = buf_reserve(out, want ? want : 1);
		ssize_t got = p ? pread(fd, p, want, at) : 0;
		if (got > 0)
			buf_commit(out, (size_t)got);
	}
	close(fd);
	return SM_OK;
}

/* ---- another user ---- */

/* The directories from the data directory down can be walked through, not listed; what lies in them stays private. */
static enum sm_err open_way(const struct cluster_task *t, struct sm_error *reterr)
{
	char path[PATH_MAX];
	snprintf(path, sizeof path, "%s", t->sandbox);
	for (int up = 0; up < 4; up++) { /* owner, apps, tasks, the data directory */
		*strrchr(path, '/') = 0;
		struct stat st;
		if (!*path || stat(path, &st) || (st.st_mode & 0011) == 0011)
			continue;
		if (chmod(path, (st.st_mode & 07777) | 0011))
			return sm_fail_errno(reterr, errno, "cannot open the way to the sandbox in %s", path);
	}
	return SM_OK;
}

static int chown_entry(const char *dir, const char *name, uid_t uid, gid_t gid)
{
	char path[PATH_MAX + 260];
	snprintf(path, sizeof path, "%s/%s", dir, name);
	return lchown(path, uid, gid);
}

static enum sm_err give_sandbox(const struct cluster_task *t, const char *user, struct sm_error *reterr)
{
	struct passwd entry, *found = NULL;
	char text[4096];
	if (getpwnam_r(user, &entry, text, sizeof text, &found) || !found)
		return sm_fail(reterr, SM_NOT_FOUND, "there is no user '%s' on this machine", user);
	if (entry.pw_uid == geteuid())
		return SM_OK;
	if (geteuid() != 0)
		return sm_fail(reterr, SM_DENIED, "the server does not run as root: it cannot start anything as user '%s'", user);
	struct dirent **names;
	int n = scandir(t->sandbox, &names, NULL, NULL), failed = chown(t->sandbox, entry.pw_uid, entry.pw_gid);
	for (int i = 0; i < n; i++) {
		if (strcmp(names[i]->d_name, ".") != 0 && strcmp(names[i]->d_name, "..") != 0)
			failed |= chown_entry(t->sandbox, names[i]->d_name, entry.pw_uid, entry.pw_gid);
		free(names[i]);
	}
	if (n >= 0)
		free(names);
	if (failed || n < 0)
		return sm_fail_errno(reterr, errno, "cannot give the sandbox to user '%s'", user);
	return open_way(t, reterr);
}

/* ---- the command line ---- */

/* Chronos' "arguments" stand behind the command, each as one word of the shell. NULL: no memory. */
static char *with_arguments(const char *command, const json_t *arguments)
{
	struct buf out;
	size_t i;
	json_t *item;
	buf_init(&out);
	buf_append(&out, command, strlen(command));
	json_array_foreach((json_t *)(uintptr_t)arguments, i, item)
	{
		const char *word = json_string_value(item);
		buf_append(&out, " '", 2);
		for (; word && *word; word++)
			buf_append(&out, *word == '\'' ? "'\\''" : word, *word == '\'' ? 4 : 1);
		buf_append(&out, "'", 1);
	}
	buf_append(&out, "", 1);
	if (out.failed) {
		buf_done(&out);
		return NULL;
	}
	return (char *)out.data;
}

static enum sm_err begin(struct cluster_task *t, const char *user, struct sm_error *reterr)
{
	const json_t *d = t->document;
	const char *command = json_string_value(json_object_get(d, t->app_kind ? "cmd" : "command"));
	double grace = json_number_value(json_object_get(d, "taskKillGracePeriodSeconds"));
	char *line = command ? with_arguments(command, json_object_get(d, "arguments")) : NULL;
	if (command && !line)
		return sm_fail(reterr, SM_NO_MEMORY, "no memory");
	struct cluster_task_info info = {
		.id = t->id,
		.owner = t->owner,
		.command = t->in_server ? NULL : line,
		.smack = json_object_get(d, "smack"),
		.env = t->env,
		.sandbox = t->sandbox,
		.user = user,
		.kill_grace_ms = grace > 0 ? (uint32_t)(grace * 1000) : CLUSTER_KILL_GRACE_MS,
		.cpus = t->cpus,
		.memory_bytes = t->memory_bytes,
	};
	enum sm_err err = t->runner->start(t->runner->arg, t, &info, reterr);
	free(line);
	return err;
}

void cluster__stage(struct sm_work *work)
{
	struct cluster_task *t = (struct cluster_task *)((char *)work - offsetof(struct cluster_task, stage));
	const char *user = json_string_value(json_object_get(t->document, t->app_kind ? "user" : "runAsUser"));
	struct sm_error error = {0};
	if (user && !*user)
		user = NULL;
	enum sm_err err = make_sandbox(t, &error);
	if (!err)
		err = cluster__fetch(t->document, t->sandbox, &t->cancelled, &error);
	if (!err && user && !t->in_server)
		err = give_sandbox(t, user, &error);
	if (!err && atomic_load(&t->cancelled))
		err = sm_fail(&error, SM_CANCELLED, "killed before it began");
	if (!err)
		err = begin(t, user, &error);
	if (err) {
		t->error = error;
		t->not_started = true;
	}
}
