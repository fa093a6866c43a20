#include "base/io.h"
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <unistd.h>

static enum sm_err system_open(struct io *io, const char *path, unsigned how, struct io_file *ret_file, struct sm_error *reterr)
{
	int flags = (how & IO_WRITE ? O_RDWR : O_RDONLY) | O_CLOEXEC;
	flags |= how & IO_CREATE ? O_CREAT : 0;
	flags |= how & IO_EXCLUSIVE ? O_EXCL : 0;
	flags |= how & IO_TRUNCATE ? O_TRUNC : 0;
	flags |= how & IO_DIRECT ? O_DIRECT : 0;
	int fd = open(path, flags, 0600); /* events are nobody else's business, whatever the umask */
	if (fd < 0)
		return sm_fail_errno(reterr, errno, "cannot open %s", path);
	*ret_file = (struct io_file){.fd = fd};
	return SM_OK;
}

static void system_close(struct io *io, struct io_file *file)
{
	if (file->fd >= 0)
		close(file->fd);
	file->fd = -1;
}

static enum sm_err system_pread(struct io *io, struct io_file *file, void *data, size_t size, uint64_t at, size_t *ret_got,
				struct sm_error *reterr)
{
	size_t got = 0;
	while (got < size) {
		ssize_t n = pread(file->fd, (char *)data + got, size - got, (off_t)(at + got));
		if (n < 0 && errno == EINTR)
			continue;
		if (n < 0)
			return sm_fail_errno(reterr, errno, "cannot read %zu bytes at %llu", size, (unsigned long long)at);
		if (n == 0)
			break;
		got += (size_t)n;
	}
	*ret_got = got;
	return SM_OK;
}

static enum sm_err system_pwritev(struct io *io, struct io_file *file, const struct iovec *iov, int n, uint64_t at, struct sm_error *reterr)
{
	struct iovec part[64];
	size_t skip = 0; /* bytes of the first entry that are written */
	while (n > 0) {
		int count = n < 64 ? n : 64;
		memcpy(part, iov, (size_t)count * sizeof *part);
		part[0].iov_base = (char *)part[0].iov_base + skip;
		part[0].iov_len -= skip;
		ssize_t done = pwritev(file->fd, part, count, (off_t)at);
		if (done < 0 && errno == EINTR)
			continue;
		if (done < 0)
			return sm_fail_errno(reterr, errno, "cannot write at %llu", (unsigned long long)at);
		at += (uint64_t)done;
		size_t left = (size_t)done + skip;
		while (n > 0 && left >= iov->iov_len) {
			left -= iov->iov_len;
			iov++;
			n--;
		}
		skip = left;
	}
	return SM_OK;
}

static enum sm_err system_fdatasync(struct io *io, struct io_file *file, struct sm_error *reterr)
{
	/* No retry: after a failed sync the kernel may have dropped the pages, and the next one would say that all is well. */
	return fdatasync(file->fd) ? sm_fail_errno(reterr, errno, "cannot sync") : SM_OK;
}

static enum sm_err system_truncate(struct io *io, struct io_file *file, uint64_t size, struct sm_error *reterr)
{
	return ftruncate(file->fd, (off_t)size) ? sm_fail_errno(reterr, errno, "cannot set the size to %llu", (unsigned long long)size)
						: SM_OK;
}

static enum sm_err system_size(struct io *io, struct io_file *file, uint64_t *ret_size, struct sm_error *reterr)
{
	struct stat st;
	if (fstat(file->fd, &st))
		return sm_fail_errno(reterr, errno, "cannot stat");
	*ret_size = (uint64_t)st.st_size;
	return SM_OK;
}

static enum sm_err system_rename(struct io *io, const char *from, const char *to, struct sm_error *reterr)
{
	return rename(from, to) ? sm_fail_errno(reterr, errno, "cannot rename %s to %s", from, to) : SM_OK;
}

static enum sm_err system_unlink(struct io *io, const char *path, struct sm_error *reterr)
{
	return unlink(path) ? sm_fail_errno(reterr, errno, "cannot delete %s", path) : SM_OK;
}

static enum sm_err system_mkdir(struct io *io, const char *path, struct sm_error *reterr)
{
	return mkdir(path, 0700) && errno != EEXIST ? sm_fail_errno(reterr, errno, "cannot make directory %s", path) : SM_OK;
}

static enum sm_err system_rmdir(struct io *io, const char *path, struct sm_error *reterr)
{
	return rmdir(path) ? sm_fail_errno(reterr, errno, "cannot delete directory %s", path) : SM_OK;
}

static enum sm_err system_sync_dir(struct io *io, const char *path, struct sm_error *reterr)
{
	int fd = open(path, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	if (fd < 0)
		return sm_fail_errno(reterr, errno, "cannot open directory %s", path);
	int failed = fsync(fd) ? errno : 0;
	close(fd);
	return failed ? sm_fail_errno(reterr, failed, "cannot sync directory %s", path) : SM_OK;
}

static enum sm_err system_list(struct io *io, const char *path, enum sm_err (*visit)(void *arg, const char *name), void *arg,
			       struct sm_error *reterr)
{
	DIR *d = opendir(path);
	if (!d)
		return sm_fail_errno(reterr, errno, "cannot open directory %s", path);
	enum sm_err err = SM_OK;
	for (;;) {
		errno = 0;
		struct dirent *e = readdir(d);
		if (!e) {
			if (errno)
				err = sm_fail_errno(reterr, errno, "cannot list %s", path);
			break;
		}
		if (strcmp(e->d_name, ".") == 0 || strcmp(e->d_name, "..") == 0)
			continue;
		if ((err = visit(arg, e->d_name)))
			break;
	}
	closedir(d);
	return err;
}

static const struct io_ops system_ops = {
	.open = system_open,
	.close = system_close,
	.pread = system_pread,
	.pwritev = system_pwritev,
	.fdatasync = system_fdatasync,
	.truncate = system_truncate,
	.size = system_size,
	.rename = system_rename,
	.unlink = system_unlink,
	.mkdir = system_mkdir,
	.rmdir = system_rmdir,
	.sync_dir = system_sync_dir,
	.list = system_list,
};
struct io io_system = {&system_ops};

enum sm_err io_read_file(struct io *io, const char *path, size_t size_max, uint8_t **ret_data, size_t *ret_size, struct sm_error *reterr)
{
	struct io_file file;
	uint64_t size;
	size_t got;
	uint8_t *data = NULL;
	enum sm_err err = io->ops->open(io, path, IO_READ, &file, reterr);
	if (err)
		return err;
	if ((err = io->ops->size(io, &file, &size, reterr)))
		goto done;
	if (size > size_max) {
		err = sm_fail(reterr, SM_TOO_LARGE, "%s has %llu bytes, more than %zu", path, (unsigned long long)size, size_max);
		goto done;
	}
	/* One more than needed: callers like to end text with a zero byte. */
	if (!(data = malloc((size_t)size + 1))) {
		err = sm_fail(reterr, SM_NO_MEMORY, "%s: no memory for %llu bytes", path, (unsigned long long)size);
		goto done;
	}
	if ((err = io->ops->pread(io, &file, data, (size_t)size, 0, &got, reterr)))
		goto done;
	data[got] = 0;
	*ret_data = data;
	*ret_size = got;
	data = NULL;
done:
	free(data);
	io->ops->close(io, &file);
	return err;
}

static enum sm_err sync_parent(struct io *io, const char *path, struct sm_error *reterr)
{
	char dir[PATH_MAX];
	const char *slash = strrchr(path, '/');
	if (!slash)
		return io->ops->sync_dir(io, ".", reterr);
	snprintf(dir, sizeof dir, "%.*s", slash == path ? 1 : (int)(slash - path), path);
	return io->ops->sync_dir(io, dir, reterr);
}

enum sm_err io_write_file_atomic(struct io *io, const char *path, struct bytes data, struct sm_error *reterr)
{
	char temp[PATH_MAX];
	if ((size_t)snprintf(temp, sizeof temp, "%s.tmp", path) >= sizeof temp)
		return sm_fail(reterr, SM_INVALID, "path is too long: %s", path);
	struct io_file file;
	enum sm_err err = io->ops->open(io, temp, IO_WRITE | IO_CREATE | IO_TRUNCATE, &file, reterr);
	if (err)
		return err;
	struct iovec iov = {(void *)(uintptr_t)data.data, data.size};
	if (!(err = io->ops->pwritev(io, &file, &iov, data.size ? 1 : 0, 0, reterr)))
		err = io->ops->fdatasync(io, &file, reterr);
	io->ops->close(io, &file);
	if (!err && !(err = io->ops->rename(io, temp, path, reterr)))
		return sync_parent(io, path, reterr);
	io->ops->unlink(io, temp, NULL);
	return err;
}

enum sm_err io_mkdir_all(struct io *io, const char *path, struct sm_error *reterr)
{
	char part[PATH_MAX];
	size_t n = strlen(path);
	if (n >= sizeof part)
		return sm_fail(reterr, SM_INVALID, "path is too long: %s", path);
	for (size_t i = 1; i <= n; i++) {
		if (path[i] != '/' && path[i] != 0)
			continue;
		memcpy(part, path, i);
		part[i] = 0;
		struct stat st;
		if (stat(part, &st) == 0)
			continue;
		enum sm_err err = io->ops->mkdir(io, part, reterr);
		if (!err)
			err = sync_parent(io, part, reterr);
		if (err)
			return err;
	}
	return SM_OK;
}

struct names {
	char **items;
	size_t count, cap;
};

static enum sm_err collect(void *arg, const char *name)
{
	struct names *names = arg;
	if (names->count == names->cap) {
		size_t cap = names->cap ? names->cap * 2 : 16;
		char **items = realloc(names->items, cap * sizeof *items);
		if (!items)
			return SM_NO_MEMORY;
		names->items = items;
		names->cap = cap;
	}
	if (!(names->items[names->count] = strdup(name)))
		return SM_NO_MEMORY;
	names->count++;
	return SM_OK;
}

enum sm_err io_remove_tree(struct io *io, const char *path, struct sm_error *reterr)
{
	struct names names = {0};
	enum sm_err err = io->ops->list(io, path, collect, &names, reterr);
	for (size_t i = 0; i < names.count && !err; i++) {
		char child[PATH_MAX];
		struct stat st;
		if ((size_t)snprintf(child, sizeof child, "%s/%s", path, names.items[i]) >= sizeof child)
			err = sm_fail(reterr, SM_INVALID, "path is too long: %s/%s", path, names.items[i]);
		else if (lstat(child, &st))
			err = sm_fail_errno(reterr, errno, "cannot stat %s", child);
		else
			err = S_ISDIR(st.st_mode) ? io_remove_tree(io, child, reterr) : io->ops->unlink(io, child, reterr);
	}
	for (size_t i = 0; i < names.count; i++)
		free(names.items[i]);
	free(names.items);
	return err ? err : io->ops->rmdir(io, path, reterr);
}
