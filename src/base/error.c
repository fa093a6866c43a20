#include <smack/error.h>
#include <errno.h>
#include <stdio.h>
#include <string.h>

static const struct {
	enum sm_err code;
	const char *name, *text;
} errors[] = {
#define X(name, value, text) {name, #name, text},
#include <smack/err.def>
#undef X
};

const char *sm_err_name(enum sm_err err)
{
	for (size_t i = 0; i < sizeof errors / sizeof *errors; i++)
		if (errors[i].code == err)
			return errors[i].name;
	return "SM_?";
}

const char *sm_err_text(enum sm_err err)
{
	for (size_t i = 0; i < sizeof errors / sizeof *errors; i++)
		if (errors[i].code == err)
			return errors[i].text;
	return "unknown error";
}

static enum sm_err err_of_errno(int os_errno)
{
	switch (os_errno) {
	case ENOSPC:
	case EDQUOT: return SM_NO_SPACE;
	case EMFILE:
	case ENFILE: return SM_NO_FILES;
	case ENOMEM: return SM_NO_MEMORY;
	case ENOENT: return SM_NOT_FOUND;
	case EEXIST: return SM_EXISTS;
	case EACCES:
	case EPERM: return SM_DENIED;
	case EADDRINUSE:
	case EBUSY: return SM_BUSY;
	case ETIMEDOUT: return SM_TIMEOUT;
	case ECONNREFUSED:
	case ECONNRESET:
	case EPIPE: return SM_UNAVAILABLE;
	default: return SM_IO;
	}
}

#undef sm_fail /* the analyzer's, see error.h */
#undef sm_fail_errno

enum sm_err sm_fail(struct sm_error *reterr, enum sm_err code, const char *fmt, ...)
{
	if (reterr) {
		va_list args;
		va_start(args, fmt);
		/* Into a buffer of its own: an argument may be the very text that is replaced. */
		char text[sizeof reterr->text];
		vsnprintf(text, sizeof text, fmt, args);
		va_end(args);
		reterr->code = code;
		reterr->os_errno = 0;
		memcpy(reterr->text, text, sizeof text);
	}
	return code;
}

enum sm_err sm_fail_errno(struct sm_error *reterr, int os_errno, const char *fmt, ...)
{
	enum sm_err code = err_of_errno(os_errno);
	if (!reterr)
		return code;
	char text[sizeof reterr->text];
	va_list args;
	va_start(args, fmt);
	int n = vsnprintf(text, sizeof text, fmt, args);
	va_end(args);
	if (n < 0)
		n = 0;
	if ((size_t)n < sizeof text) {
		char why[128];
		snprintf(text + n, sizeof text - (size_t)n, ": %s", strerror_r(os_errno, why, sizeof why));
	}
	reterr->code = code;
	reterr->os_errno = os_errno;
	memcpy(reterr->text, text, sizeof text);
	return code;
}

void sm_error_prefix(struct sm_error *err, const char *fmt, ...)
{
	if (!err)
		return;
	char text[sizeof err->text], old[sizeof err->text];
	memcpy(old, err->text, sizeof old);
	va_list args;
	va_start(args, fmt);
	int n = vsnprintf(text, sizeof text, fmt, args);
	va_end(args);
	if (n >= 0 && (size_t)n + 2 < sizeof text) {
		size_t at = (size_t)n + 2, room = sizeof text - at - 1, size = strnlen(old, sizeof old);
		memcpy(text + n, ": ", 2);
		size = size < room ? size : room;
		memcpy(text + at, old, size);
		text[at + size] = 0;
	}
	memcpy(err->text, text, sizeof text);
}
