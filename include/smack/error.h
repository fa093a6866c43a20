/* Errors of the public API. Every function that can fail returns enum sm_err; SM_OK is 0.
 * Functions whose failures a person will read also fill struct sm_error, only on failure. */
#ifndef SMACK_ERROR_H
#define SMACK_ERROR_H

#include <stdarg.h>
#include <stddef.h>

#ifdef __cplusplus
extern "C" {
#endif

enum sm_err {
#define X(name, value, text) name = value,
#include <smack/err.def>
#undef X
};

#define SM_MUST_CHECK __attribute__((warn_unused_result))
#define SM_PRINTF(fmt_at, args_at) __attribute__((format(printf, fmt_at, args_at)))
#define SM_EXPORT __attribute__((visibility("default")))

/* What went wrong, where, and what to do. text is always terminated. */
struct sm_error {
	enum sm_err code;
	int os_errno; /* 0 if the system had no part in it */
	char text[500];
};

/* "SM_NOT_FOUND"; never NULL, "SM_?" for a number that is none. */
SM_EXPORT const char *sm_err_name(enum sm_err err);
/* "not found"; never NULL. */
SM_EXPORT const char *sm_err_text(enum sm_err err);

/* Fill reterr (may be NULL) and return code, so that a failing path reads `return sm_fail(reterr, SM_X, "...")`. */
SM_EXPORT enum sm_err sm_fail(struct sm_error *reterr, enum sm_err code, const char *fmt, ...) SM_PRINTF(3, 4);
/* The same for a failed system call: maps os_errno to a code (ENOSPC: SM_NO_SPACE, EMFILE: SM_NO_FILES, else SM_IO ...)
 * and appends its text. */
SM_EXPORT enum sm_err sm_fail_errno(struct sm_error *reterr, int os_errno, const char *fmt, ...) SM_PRINTF(3, 4);
/* Put "context: " before the text that is there. */
SM_EXPORT void sm_error_prefix(struct sm_error *err, const char *fmt, ...) SM_PRINTF(2, 3);

#ifdef __clang_analyzer__
/* The analyzer sees one file at a time: it is told that a failure is never SM_OK. */
#define SM_NEVER_OK(call)                         \
	({                                        \
		enum sm_err err_never_ok_ = call; \
		if (err_never_ok_ == SM_OK)       \
			__builtin_unreachable();  \
		err_never_ok_;                    \
	})
#define sm_fail(...) SM_NEVER_OK(sm_fail(__VA_ARGS__))
#define sm_fail_errno(...) SM_NEVER_OK(sm_fail_errno(__VA_ARGS__))
#endif

#ifdef __cplusplus
}
#endif
#endif
