#include "error.h"

#include <errno.h>
#include <stdio.h>
#include <string.h>

enum dhat_exit dhat_exit_of_errno(int error)
{
	switch (error) {
	case ESRCH:
		return DHAT_EXIT_NO_PROCESS;
	case EPERM:
	case EACCES:
		return DHAT_EXIT_NOT_PERMITTED;
	case ENOSPC:
	case EDQUOT:
	case EROFS:
		return DHAT_EXIT_OUTPUT;
	default:
		return DHAT_EXIT_FAILED;
	}
}

int dhat_error_set(struct dhat_error *err, int error, enum dhat_exit code, const char *format, ...)
{
	va_list args;

	if (err && err->code == DHAT_EXIT_OK) {
		err->code = code;
		va_start(args, format);
		vsnprintf(err->message, sizeof(err->message), format, args);
		va_end(args);
	}
	return -error;
}

int dhat_error_errno(struct dhat_error *err, int error, const char *format, ...)
{
	size_t used;
	va_list args;

	if (err && err->code == DHAT_EXIT_OK) {
		err->code = dhat_exit_of_errno(error);
		va_start(args, format);
		vsnprintf(err->message, sizeof(err->message), format, args);
		va_end(args);
		used = strlen(err->message);
		snprintf(err->message + used, sizeof(err->message) - used, ": %s", strerror(error));
	}
	return -error;
}
