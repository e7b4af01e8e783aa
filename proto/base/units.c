#include "units.h"

#include <ctype.h>
#include <errno.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>

/* strtoull takes a sign and leading blanks; a size has neither. Returns what is behind the number,
 * NULL if there is none (-EINVAL) or too large a one (-ERANGE). */
static const char *parse_number(const char *text, uint64_t *ret, int *ret_error)
{
	char *end;

	*ret_error = -EINVAL;
	if (!isdigit((unsigned char)*text))
		return NULL;
	errno = 0;
	*ret = strtoull(text, &end, 10);
	*ret_error = -ERANGE;
	return errno ? NULL : end;
}

int dhat_parse_size(const char *text, uint64_t *ret)
{
	static const char units[] = "KMGT";
	const char *end, *unit;
	uint64_t number;
	int shift = 0, error;

	end = parse_number(text, &number, &error);
	if (!end)
		return error;
	if (*end && (unit = strchr(units, toupper((unsigned char)*end)))) {
		shift = 10 * (unit - units + 1);
		end++;
		if (!strcasecmp(end, "iB") || !strcasecmp(end, "B"))
			end += strlen(end);
	} else if (!strcasecmp(end, "B")) {
		end++;
	}
	if (*end)
		return -EINVAL;
	if (number > UINT64_MAX >> shift)
		return -ERANGE;
	*ret = number << shift;
	return 0;
}

int dhat_parse_duration(const char *text, uint64_t *ret_ns)
{
	static const struct {
		const char *unit;
		uint64_t seconds;
	} units[] = { { "", 1 }, { "s", 1 }, { "m", 60 }, { "h", 3600 }, { "d", 86400 } };
	uint64_t number, ns;
	const char *end;
	int error;

	end = parse_number(text, &number, &error);
	if (!end)
		return error;
	for (size_t i = 0; i < sizeof(units) / sizeof(units[0]); i++) {
		if (strcmp(end, units[i].unit) || !number)
			continue;
		ns = units[i].seconds * 1000000000;
		if (number > UINT64_MAX / ns)
			return -ERANGE;
		*ret_ns = number * ns;
		return 0;
	}
	return -EINVAL;
}

int dhat_parse_pid(const char *text, uint32_t *ret)
{
	const char *end;
	uint64_t number;
	int error;

	end = parse_number(text, &number, &error);
	if (!end)
		return error;
	/* PID_MAX_LIMIT of the kernel is 2^22 */
	if (*end || number == 0 || number > 1u << 22)
		return -EINVAL;
	*ret = number;
	return 0;
}

const char *dhat_format_size(uint64_t bytes, char text[DHAT_UNIT_CHARS])
{
	static const char *const units[] = { "B", "KiB", "MiB", "GiB", "TiB", "PiB", "EiB" };
	double value = bytes;
	size_t unit = 0;

	/* 1023.95 KiB would be printed as 1024.0 KiB */
	while (value >= 1023.95 && unit + 1 < sizeof(units) / sizeof(units[0])) {
		value /= 1024;
		unit++;
	}
	if (unit == 0)
		snprintf(text, DHAT_UNIT_CHARS, "%" PRIu64 " B", bytes);
	else
		snprintf(text, DHAT_UNIT_CHARS, "%.*f %s", value < 99.95 ? 1 : 0, value,
			 units[unit]);
	return text;
}

const char *dhat_format_count(uint64_t count, char text[DHAT_UNIT_CHARS])
{
	char digits[24], *out = text;
	int n = snprintf(digits, sizeof(digits), "%" PRIu64, count);

	for (int i = 0; i < n; i++) {
		if (i && (n - i) % 3 == 0)
			*out++ = ',';
		*out++ = digits[i];
	}
	*out = 0;
	return text;
}

const char *dhat_format_duration(uint64_t ns, char text[DHAT_UNIT_CHARS])
{
	uint64_t s = ns / 1000000000;

	if (ns < 1000)
		snprintf(text, DHAT_UNIT_CHARS, "%" PRIu64 " ns", ns);
	else if (ns < 1000000)
		snprintf(text, DHAT_UNIT_CHARS, "%.0f us", ns / 1e3);
	else if (ns < 1000000000)
		snprintf(text, DHAT_UNIT_CHARS, "%.1f ms", ns / 1e6);
	else if (s < 60)
		snprintf(text, DHAT_UNIT_CHARS, "%.1f s", ns / 1e9);
	else if (s < 3600)
		snprintf(text, DHAT_UNIT_CHARS, "%" PRIu64 " min %" PRIu64 " s", s / 60, s % 60);
	else if (s < 86400)
		snprintf(text, DHAT_UNIT_CHARS, "%" PRIu64 " h %" PRIu64 " min", s / 3600,
			 s % 3600 / 60);
	else
		snprintf(text, DHAT_UNIT_CHARS, "%" PRIu64 " d %" PRIu64 " h", s / 86400,
			 s % 86400 / 3600);
	return text;
}
