#pragma once
/* error: one sentence for a person, one code for a script.
 *
 * Filled once, where the facts are known: what failed, on what, why, and what to do next. Callers
 * pass it on; only the border (main, a request handler, the collector loop) prints it.
 */
#include <stdarg.h>

/* Exit codes of dhatd and dhatctl; also what travels in an error response. The man pages list
 * them; a test compares. */
enum dhat_exit {
	DHAT_EXIT_OK = 0,
	DHAT_EXIT_FAILED = 1,	     /* anything without a code of its own */
	DHAT_EXIT_USAGE = 2,	     /* the command line is wrong */
	DHAT_EXIT_NO_PROCESS = 3,    /* no such process, or it has just ended */
	DHAT_EXIT_NOT_PERMITTED = 4, /* rights are missing */
	DHAT_EXIT_UNSUPPORTED = 5,   /* this kernel cannot do it */
	DHAT_EXIT_UNSUITABLE =
		6, /* this target cannot be profiled: 32-bit, foreign machine, unsafe */
	DHAT_EXIT_NO_ALLOCATOR = 7, /* no known allocator in the target */
	DHAT_EXIT_ALREADY = 8,	    /* already attached, or the socket is in use */
	DHAT_EXIT_NO_DAEMON = 9,    /* nobody answers at the socket */
	DHAT_EXIT_OUTPUT = 10,	    /* the result could not be written (disk full, no rights) */
	DHAT_EXIT_BAD_FILE = 11,    /* an input file is not what it should be */
	DHAT_EXIT_PROTOCOL = 12,    /* the other side speaks another version, or nonsense */
	DHAT_EXIT_INEXACT = 13,	    /* asked to insist on exact numbers, and they are not */
	DHAT_EXIT_NOT_YET = 14,	    /* an attach is under way: ask again */
	DHAT_EXIT_ASSERTION = 15,   /* a condition on the profile does not hold */
	DHAT_EXIT_NOT_BETTER = 16,  /* what was to be mended is the same, or worse */
};

struct dhat_error {
	int code;	   /* enum dhat_exit; DHAT_EXIT_OK: nothing failed */
	char message[512]; /* one line, no full stop, no new line */
};

/* Fill err (may be NULL) and return -EINVAL-like `error` negated: `return dhat_error_set(…)`. The
 * first filling wins: a later caller that knows less does not overwrite it. */
int dhat_error_set(struct dhat_error *err, int error, enum dhat_exit code, const char *format, ...)
	__attribute__((format(printf, 4, 5)));

/* The same, with ": " and strerror(error) at the end, and the code that fits `error`. */
int dhat_error_errno(struct dhat_error *err, int error, const char *format, ...)
	__attribute__((format(printf, 3, 4)));

/* The exit code that fits an errno. */
enum dhat_exit dhat_exit_of_errno(int error);
