/* The fault-injecting twin of the I/O table, for tests.
 *
 * Calls go to real files. Beside them the twin remembers how to go back: for each file the writes and truncations since its last
 * sync with what stood there before (segments are zero-filled ahead and overwritten in place, so cutting is not enough), and for
 * directories the changes since their last sync with the contents of what was deleted. A power loss undoes them, newest first.
 * Files and directories are known by device and inode, so renames do not confuse it. It is test code: without memory it aborts. */
#include "base/io.h"
#include <assert.h>
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <pthread.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <unistd.h>

struct identity {
	dev_t dev;
	ino_t ino;
};

/* One change of a file's contents. A truncation has size 0 and, as before, what was cut off. */
struct change {
	struct change *older;
	bool truncation;
	uint64_t at, size;
	uint64_t size_before; /* of the file */
	uint8_t *before;      /* what stood at `at` */
	size_t before_size;
};
struct node {
	struct node *next;
	struct identity id;
	char *path; /* where it is now */
	struct change *newest;
	uint32_t change_count;
	bool unlinked;
};

enum entry_kind { ENTRY_CREATE, ENTRY_UNLINK, ENTRY_RENAME, ENTRY_MKDIR, ENTRY_RMDIR };
/* A file that a directory has lost. */
struct lost {
	struct node *node; /* NULL: there was none */
	uint8_t *data;
	size_t size;
};
struct entry {
	struct entry *older;
	enum entry_kind kind;
	struct identity dir; /* whose sync makes it last */
	char *path, *to;
	struct lost lost;
};

struct io_fault {
	struct io io;
	struct io_fault_plan plan;
	pthread_mutex_t lock;
	uint64_t calls;
	bool spent; /* after the power loss no call fails any more */
	struct node *nodes;
	struct entry *newest;
};

static struct io_fault *fault_of(const struct io *io)
{
	return (struct io_fault *)(uintptr_t)io;
}

static void *must(void *memory)
{
	assert(memory);
	return memory;
}

/* ---- the plan ---- */

/* Counts a changing call. SM_OK: it is to be done. */
static enum sm_err changing(struct io_fault *f, const char *what, struct sm_error *reterr)
{
	f->calls++;
	bool fails = f->plan.fail_at && (f->calls == f->plan.fail_at || (f->plan.fail_after && f->calls > f->plan.fail_at));
	if (!fails || f->spent)
		return SM_OK;
	return sm_fail_errno(reterr, f->plan.fail_errno ? f->plan.fail_errno : EIO, "%s (planned fault at call %llu)", what,
			     (unsigned long long)f->calls);
}

/* ---- paths and identities ---- */

static struct identity identity_of(const struct stat *st)
{
	return (struct identity){st->st_dev, st->st_ino};
}
static bool identity_equal(struct identity a, struct identity b)
{
	return a.dev == b.dev && a.ino == b.ino;
}

static struct identity parent_identity(const char *path)
{
	char dir[PATH_MAX] = ".";
	const char *slash = strrchr(path, '/');
	if (slash) {
		size_t n = slash == path ? 1 : (size_t)(slash - path);
		assert(n < sizeof dir);
		memcpy(dir, path, n);
		dir[n] = 0;
	}
	struct stat st;
	return stat(dir, &st) ? (struct identity){0} : identity_of(&st);
}

static struct node *node_find(struct io_fault *f, struct identity id)
{
	struct node *node = f->nodes;
	while (node && (node->unlinked || !identity_equal(node->id, id)))
		node = node->next;
	return node;
}

static struct node *node_get(struct io_fault *f, const struct stat *st, const char *path)
{
	struct node *node = node_find(f, identity_of(st));
	if (!node) {
		node = must(calloc(1, sizeof *node));
		node->id = identity_of(st);
		node->path = must(strdup(path));
		node->next = f->nodes;
		f->nodes = node;
	}
	return node;
}

/* A file or a whole directory has moved. */
static void nodes_moved(struct io_fault *f, const char *from, const char *to)
{
	size_t n = strlen(from);
	for (struct node *node = f->nodes; node; node = node->next) {
		if (strncmp(node->path, from, n) != 0 || (node->path[n] != 0 && node->path[n] != '/'))
			continue;
		char *path = must(malloc(strlen(to) + strlen(node->path + n) + 1));
		strcat(strcpy(path, to), node->path + n);
		free(node->path);
		node->path = path;
	}
}

static void changes_forget(struct node *node)
{
	for (struct change *c = node->newest, *older; c; c = older) {
		older = c->older;
		free(c->before);
		free(c);
	}
	node->newest = NULL;
	node->change_count = 0;
}

static struct entry *entry_add(struct io_fault *f, enum entry_kind kind, const char *path, const char *to)
{
	struct entry *e = must(calloc(1, sizeof *e));
	e->kind = kind;
	e->path = must(strdup(path));
	e->to = to ? must(strdup(to)) : NULL;
	e->dir = parent_identity(to ? to : path);
	e->older = f->newest;
	f->newest = e;
	return e;
}

static void entry_free(struct entry *e)
{
	free(e->path);
	free(e->to);
	free(e->lost.data);
	free(e);
}

/* ---- contents ---- */

static size_t read_at(int fd, uint8_t *data, size_t size, uint64_t at)
{
	size_t got = 0;
	for (ssize_t n; got < size && (n = pread(fd, data + got, size - got, (off_t)(at + got))) > 0; got += (size_t)n)
		;
	return got;
}

static bool write_at(int fd, const uint8_t *data, size_t size, uint64_t at)
{
	for (ssize_t n; size > 0; data += n, size -= (size_t)n, at += (uint64_t)n) {
		if ((n = pwrite(fd, data, size, (off_t)at)) <= 0)
			return false;
	}
	return true;
}

/* Before the change is made: remember what it will destroy. */
static void change_add(struct node *node, int fd, bool truncation, uint64_t at, uint64_t size)
{
	struct stat st;
	struct change *c = must(calloc(1, sizeof *c));
	c->truncation = truncation;
	c->at = at;
	c->size = size;
	c->size_before = fstat(fd, &st) ? 0 : (uint64_t)st.st_size;
	uint64_t lost = at >= c->size_before ? 0 : c->size_before - at;
	if (!truncation && lost > size)
		lost = size;
	if (lost) {
		c->before = must(malloc(lost));
		c->before_size = read_at(fd, c->before, lost, at);
	}
	c->older = node->newest;
	node->newest = c;
	node->change_count++;
}

/* Take back the newest change, but for its first `stays` bytes. */
static bool change_undo(struct node *node, int fd, uint64_t stays)
{
	struct change *c = node->newest;
	bool ok = true;
	uint64_t size = c->size_before;
	if (stays < c->before_size)
		ok = write_at(fd, c->before + stays, c->before_size - stays, c->at + stays);
	if (stays && c->at + stays > size)
		size = c->at + stays;
	ok = ok && ftruncate(fd, (off_t)size) == 0;
	node->newest = c->older;
	node->change_count--;
	free(c->before);
	free(c);
	return ok;
}

static uint64_t next_random(uint64_t *seed)
{
	uint64_t z = *seed += 0x9e3779b97f4a7c15ull;
	z = (z ^ z >> 30) * 0xbf58476d1ce4e5b9ull;
	z = (z ^ z >> 27) * 0x94d049bb133111ebull;
	return z ^ z >> 31;
}

/* Keep a prefix of what was not synced: some changes, then a part of the next. */
static enum sm_err contents_lose(struct node *node, const char *path, uint64_t *seed, struct sm_error *reterr)
{
	if (!node->newest)
		return SM_OK;
	int fd = open(path, O_RDWR | O_CLOEXEC);
	if (fd < 0)
		return sm_fail_errno(reterr, errno, "power loss: cannot open %s", path);
	uint32_t kept = (uint32_t)(next_random(seed) % (node->change_count + 1));
	bool ok = true;
	while (ok && node->change_count > kept) {
		bool torn = node->change_count == kept + 1 && !node->newest->truncation && node->newest->size;
		ok = change_undo(node, fd, torn ? next_random(seed) % node->newest->size : 0);
	}
	int failed = ok ? 0 : errno;
	close(fd);
	changes_forget(node);
	return ok ? SM_OK : sm_fail_errno(reterr, failed, "power loss: cannot restore %s", path);
}

/* ---- the calls ---- */

static enum sm_err fault_open(struct io *io, const char *path, unsigned how, struct io_file *ret_file, struct sm_error *reterr)
{
	struct io_fault *f = fault_of(io);
	struct stat st;
	struct io_file file;
	pthread_mutex_lock(&f->lock);
	bool existed = stat(path, &st) == 0;
	bool creates = !existed && how & IO_CREATE, truncates = existed && how & IO_TRUNCATE && st.st_size > 0;
	enum sm_err err = creates || truncates ? changing(f, "open", reterr) : SM_OK;
	/* The truncation is made here, after what it destroys has been remembered. */
	if (!err && !(err = io_system.ops->open(&io_system, path, how & ~(unsigned)(IO_TRUNCATE | IO_DIRECT), &file, reterr))) {
		struct node *node = fstat(file.fd, &st) ? NULL : node_get(f, &st, path);
		if (creates)
			entry_add(f, ENTRY_CREATE, path, NULL);
		if (truncates && node) {
			change_add(node, file.fd, true, 0, 0);
			err = io_system.ops->truncate(&io_system, &file, 0, reterr);
		}
		file.twin = node;
		if (err)
			io_system.ops->close(&io_system, &file);
		else
			*ret_file = file;
	}
	pthread_mutex_unlock(&f->lock);
	return err;
}

static void fault_close(struct io *io, struct io_file *file)
{
	io_system.ops->close(&io_system, file);
}

static enum sm_err fault_pread(struct io *io, struct io_file *file, void *data, size_t size, uint64_t at, size_t *ret_got,
			       struct sm_error *reterr)
{
	return io_system.ops->pread(&io_system, file, data, size, at, ret_got, reterr);
}

static enum sm_err fault_size(struct io *io, struct io_file *file, uint64_t *ret_size, struct sm_error *reterr)
{
	return io_system.ops->size(&io_system, file, ret_size, reterr);
}

static enum sm_err fault_list(struct io *io, const char *path, enum sm_err (*visit)(void *arg, const char *name), void *arg,
			      struct sm_error *reterr)
{
	return io_system.ops->list(&io_system, path, visit, arg, reterr);
}

static enum sm_err fault_pwritev(struct io *io, struct io_file *file, const struct iovec *iov, int n, uint64_t at, struct sm_error *reterr)
{
	struct io_fault *f = fault_of(io);
	size_t size = 0, taken = 0;
	for (int i = 0; i < n; i++)
		size += iov[i].iov_len;
	uint8_t *data = must(malloc(size + 1)); /* in one piece, so that it can be torn anywhere */
	for (int i = 0; i < n; taken += iov[i++].iov_len)
		memcpy(data + taken, iov[i].iov_base, iov[i].iov_len);
	pthread_mutex_lock(&f->lock);
	enum sm_err err = changing(f, "write", reterr);
	if (err) {
		bool first = f->calls == f->plan.fail_at;
		size = !first ? 0 : f->plan.tear_bytes < size ? (size_t)f->plan.tear_bytes : size;
	}
	if (size) {
		change_add(file->twin, file->fd, false, at, size);
		struct iovec all = {data, size};
		enum sm_err failed = io_system.ops->pwritev(&io_system, file, &all, 1, at, err ? NULL : reterr);
		err = err ? err : failed;
	}
	pthread_mutex_unlock(&f->lock);
	free(data);
	return err;
}

static enum sm_err fault_fdatasync(struct io *io, struct io_file *file, struct sm_error *reterr)
{
	struct io_fault *f = fault_of(io);
	pthread_mutex_lock(&f->lock);
	enum sm_err err = changing(f, "sync", reterr);
	if (!err) /* not on the real disk: the twin's memory is what counts, and tests are many */
		changes_forget(file->twin);
	pthread_mutex_unlock(&f->lock);
	return err;
}

static enum sm_err fault_truncate(struct io *io, struct io_file *file, uint64_t size, struct sm_error *reterr)
{
	struct io_fault *f = fault_of(io);
	pthread_mutex_lock(&f->lock);
	enum sm_err err = changing(f, "truncate", reterr);
	if (!err) {
		change_add(file->twin, file->fd, true, size, 0);
		err = io_system.ops->truncate(&io_system, file, size, reterr);
	}
	pthread_mutex_unlock(&f->lock);
	return err;
}

/* The file at path is about to lose its name: its contents and what of them is synced. */
static struct lost lose(struct io_fault *f, const char *path)
{
	struct lost lost = {0};
	struct stat st;
	if (stat(path, &st) || !S_ISREG(st.st_mode))
		return lost;
	int fd = open(path, O_RDONLY | O_CLOEXEC);
	assert(fd >= 0);
	lost.node = node_get(f, &st, path);
	lost.data = must(malloc((size_t)st.st_size + 1));
	lost.size = read_at(fd, lost.data, (size_t)st.st_size, 0);
	close(fd);
	return lost;
}

static void lost_keep(struct entry *e, struct lost lost)
{
	e->lost = lost;
	if (lost.node)
		lost.node->unlinked = true;
}

static enum sm_err fault_rename(struct io *io, const char *from, const char *to, struct sm_error *reterr)
{
	struct io_fault *f = fault_of(io);
	pthread_mutex_lock(&f->lock);
	enum sm_err err = changing(f, "rename", reterr);
	if (!err) {
		struct lost lost = lose(f, to);
		if ((err = io_system.ops->rename(&io_system, from, to, reterr))) {
			free(lost.data);
		} else {
			lost_keep(entry_add(f, ENTRY_RENAME, from, to), lost);
			nodes_moved(f, from, to);
		}
	}
	pthread_mutex_unlock(&f->lock);
	return err;
}

static enum sm_err fault_unlink(struct io *io, const char *path, struct sm_error *reterr)
{
	struct io_fault *f = fault_of(io);
	pthread_mutex_lock(&f->lock);
	enum sm_err err = changing(f, "unlink", reterr);
	if (!err) {
		struct lost lost = lose(f, path);
		if ((err = io_system.ops->unlink(&io_system, path, reterr)))
			free(lost.data);
		else
			lost_keep(entry_add(f, ENTRY_UNLINK, path, NULL), lost);
	}
	pthread_mutex_unlock(&f->lock);
	return err;
}

static enum sm_err fault_mkdir(struct io *io, const char *path, struct sm_error *reterr)
{
	struct io_fault *f = fault_of(io);
	pthread_mutex_lock(&f->lock);
	bool existed = access(path, F_OK) == 0;
	enum sm_err err = changing(f, "mkdir", reterr);
	if (!err && !(err = io_system.ops->mkdir(&io_system, path, reterr)) && !existed)
		entry_add(f, ENTRY_MKDIR, path, NULL);
	pthread_mutex_unlock(&f->lock);
	return err;
}

static enum sm_err fault_rmdir(struct io *io, const char *path, struct sm_error *reterr)
{
	struct io_fault *f = fault_of(io);
	pthread_mutex_lock(&f->lock);
	enum sm_err err = changing(f, "rmdir", reterr);
	if (!err && !(err = io_system.ops->rmdir(&io_system, path, reterr)))
		entry_add(f, ENTRY_RMDIR, path, NULL);
	pthread_mutex_unlock(&f->lock);
	return err;
}

static enum sm_err fault_sync_dir(struct io *io, const char *path, struct sm_error *reterr)
{
	struct io_fault *f = fault_of(io);
	struct stat st;
	pthread_mutex_lock(&f->lock);
	enum sm_err err = changing(f, "sync of a directory", reterr);
	if (!err && stat(path, &st))
		err = sm_fail_errno(reterr, errno, "cannot sync directory %s", path);
	for (struct entry **link = &f->newest, *e; !err && (e = *link);) {
		if (identity_equal(e->dir, identity_of(&st))) {
			*link = e->older;
			entry_free(e);
		} else {
			link = &e->older;
		}
	}
	pthread_mutex_unlock(&f->lock);
	return err;
}

static const struct io_ops fault_ops = {
	.open = fault_open,
	.close = fault_close,
	.pread = fault_pread,
	.pwritev = fault_pwritev,
	.fdatasync = fault_fdatasync,
	.truncate = fault_truncate,
	.size = fault_size,
	.rename = fault_rename,
	.unlink = fault_unlink,
	.mkdir = fault_mkdir,
	.rmdir = fault_rmdir,
	.sync_dir = fault_sync_dir,
	.list = fault_list,
};

struct io *io_fault_new(const struct io_fault_plan *plan)
{
	struct io_fault *f = must(calloc(1, sizeof *f));
	f->io.ops = &fault_ops;
	f->plan = plan ? *plan : (struct io_fault_plan){0};
	pthread_mutex_init(&f->lock, NULL);
	return &f->io;
}

static void forget_all(struct io_fault *f)
{
	for (struct entry *e = f->newest, *older; e; e = older) {
		older = e->older;
		entry_free(e);
	}
	for (struct node *node = f->nodes, *next; node; node = next) {
		next = node->next;
		changes_forget(node);
		free(node->path);
		free(node);
	}
	f->newest = NULL;
	f->nodes = NULL;
}

void io_fault_free(struct io *io)
{
	if (!io)
		return;
	struct io_fault *f = fault_of(io);
	forget_all(f);
	pthread_mutex_destroy(&f->lock);
	free(f);
}

uint64_t io_fault_calls(const struct io *io)
{
	return fault_of(io)->calls;
}

/* ---- the power loss ---- */

static enum sm_err lost_restore(struct lost *lost, const char *path, uint64_t *seed, struct sm_error *reterr)
{
	if (!lost->node)
		return SM_OK;
	int fd = open(path, O_RDWR | O_CREAT | O_EXCL | O_CLOEXEC, 0644);
	if (fd < 0)
		return sm_fail_errno(reterr, errno, "power loss: cannot bring back %s", path);
	int failed = write_at(fd, lost->data, lost->size, 0) ? 0 : errno;
	close(fd);
	return failed ? sm_fail_errno(reterr, failed, "power loss: cannot bring back %s", path)
		      : contents_lose(lost->node, path, seed, reterr);
}

/* What is not there any more was moved away by something that did last. */
static enum sm_err gone_is_well(enum sm_err err)
{
	return err == SM_NOT_FOUND ? SM_OK : err;
}

static enum sm_err entry_undo(struct entry *e, uint64_t *seed, struct sm_error *reterr)
{
	struct io *sys = &io_system;
	enum sm_err err;
	switch (e->kind) {
	case ENTRY_CREATE: return gone_is_well(sys->ops->unlink(sys, e->path, reterr));
	case ENTRY_UNLINK: return lost_restore(&e->lost, e->path, seed, reterr);
	case ENTRY_RENAME:
		err = gone_is_well(sys->ops->rename(sys, e->to, e->path, reterr));
		return err ? err : lost_restore(&e->lost, e->to, seed, reterr);
	case ENTRY_MKDIR: return gone_is_well(io_remove_tree(sys, e->path, reterr));
	case ENTRY_RMDIR: return sys->ops->mkdir(sys, e->path, reterr);
	}
	return SM_INVALID;
}

enum sm_err io_fault_power_loss(struct io *io, uint64_t seed, struct sm_error *reterr)
{
	struct io_fault *f = fault_of(io);
	enum sm_err err = SM_OK;
	pthread_mutex_lock(&f->lock);
	for (struct node *node = f->nodes; node && !err; node = node->next) {
		if (!node->unlinked)
			err = contents_lose(node, node->path, &seed, reterr);
	}
	for (struct entry *e = f->newest; e && !err; e = e->older)
		err = entry_undo(e, &seed, reterr);
	forget_all(f);
	f->spent = true;
	pthread_mutex_unlock(&f->lock);
	return err;
}
