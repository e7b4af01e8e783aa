#include "assertion.h"

#include <ctype.h>
#include <errno.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "proto/base/cleanup.h"
#include "proto/base/similar.h"
#include "proto/base/text.h"
#include "proto/base/units.h"

/* 10^6: what stands behind the point has six digits at most; with a factor below 2^40 no product
 * leaves 127 bits. */
#define MAX_SCALE 1000000u
#define MAX_FACTOR (UINT64_C(1) << 40)

static const struct {
	const char *name;
	enum dhat_metric metric;
	bool is_growth;
} figures[] = {
	{ "live.bytes", DHAT_LIVE_BYTES, false },    { "live.blocks", DHAT_LIVE_BLOCKS, false },
	{ "peak.bytes", DHAT_PEAK_BYTES, false },    { "peak.blocks", DHAT_PEAK_BLOCKS, false },
	{ "total.bytes", DHAT_TOTAL_BYTES, false },  { "total.blocks", DHAT_TOTAL_BLOCKS, false },
	{ "growth", DHAT_LIVE_BYTES, true },	     { "growth.bytes", DHAT_LIVE_BYTES, true },
	{ "growth.blocks", DHAT_LIVE_BLOCKS, true }, { "lost.bytes", DHAT_LOST_BYTES, false },
	{ "lost.blocks", DHAT_LOST_BLOCKS, false },  { "beside.bytes", DHAT_BESIDE_BYTES, false },
	{ "free.bytes", DHAT_FREE_BYTES, false },
};

/* Longer ones first: "<=" begins like "<". */
static const struct {
	const char *text;
	enum dhat_comparison comparison;
} comparisons[] = {
	{ "==", DHAT_EQUAL },	 { "!=", DHAT_NOT_EQUAL }, { "<=", DHAT_AT_MOST },
	{ ">=", DHAT_AT_LEAST }, { "<", DHAT_LESS },	   { ">", DHAT_MORE },
};

struct parser {
	const char *text, *at;
	struct dhat_assertion *assertion;
	struct dhat_assertion_fault *fault;
};

struct decimal { /* mantissa / scale */
	uint64_t mantissa, scale;
};

__attribute__((format(printf, 4, 5))) static int complain(struct parser *p, const char *from,
							  size_t length, const char *format, ...)
{
	va_list args;

	p->fault->at = from - p->text;
	p->fault->length = length ? length : 1;
	va_start(args, format);
	vsnprintf(p->fault->message, sizeof(p->fault->message), format, args);
	va_end(args);
	return -EINVAL;
}

static void skip_blanks(struct parser *p)
{
	p->at += strspn(p->at, " \t");
}

static bool takes(struct parser *p, const char *token)
{
	skip_blanks(p);
	if (strncmp(p->at, token, strlen(token)))
		return false;
	p->at += strlen(token);
	return true;
}

/* Up to a blank or what may stand behind a word. */
static size_t word_length(const char *at)
{
	return strcspn(at, " \t()<>=!*+");
}

/* ---- the subject --------------------------------------------------------------------------- */

static int parse_pattern(struct parser *p)
{
	const char *begin, *end;

	if (!takes(p, "(") || !takes(p, "/"))
		return complain(p, p->at, 1, "stacks are chosen by stack(/PATTERN/)");
	begin = p->at;
	end = strstr(begin, "/)");
	if (!end)
		return complain(p, begin, strlen(begin),
				"the pattern has no end: stack(/PATTERN/)");
	if (end == begin)
		return complain(p, begin, 1, "an empty pattern matches everything");
	p->assertion->pattern = strndup(begin, end - begin);
	if (!p->assertion->pattern)
		return -ENOMEM;
	p->at = end + 2;
	return takes(p, ".")
		       ? 0
		       : complain(p, p->at, 1,
				  "of these stacks which figure? stack(/PATTERN/).live.bytes");
}

static int unknown_figure(struct parser *p, size_t length)
{
	char word[64];
	struct dhat_similar similar = { .word = word };

	if (!length)
		return complain(p, p->at, 1,
				"a figure is missing: live, peak, total or lost .bytes or .blocks, "
				"growth, beside.bytes or free.bytes");
	snprintf(word, sizeof(word), "%.*s", (int)length, p->at);
	for (size_t i = 0; i < ARRAY_SIZE(figures); i++)
		dhat_similar_consider(&similar, figures[i].name);
	if (!p->assertion->pattern)
		dhat_similar_consider(&similar, "stack");
	if (similar.best)
		return complain(p, p->at, length, "no such figure; did you mean %s?", similar.best);
	return complain(p, p->at, length,
			"no such figure: there are live, peak, total and lost, of each .bytes and "
			".blocks, growth, beside.bytes and free.bytes");
}

static int parse_figure(struct parser *p)
{
	size_t length;

	skip_blanks(p);
	length = word_length(p->at);
	for (size_t i = 0; i < ARRAY_SIZE(figures); i++) {
		if (strlen(figures[i].name) != length || strncmp(p->at, figures[i].name, length))
			continue;
		p->assertion->metric = figures[i].metric;
		p->assertion->is_growth = figures[i].is_growth;
		if (figures[i].metric == DHAT_FREE_BYTES && p->assertion->pattern)
			return complain(p, p->at, length,
					"what is free is no stack's: beside.bytes is what shares "
					"pages with its blocks");
		p->at += length;
		return 0;
	}
	return unknown_figure(p, length);
}

static int parse_subject(struct parser *p)
{
	int r = 0;

	skip_blanks(p);
	if (word_length(p->at) == strlen("stack") && takes(p, "stack"))
		r = parse_pattern(p);
	return r < 0 ? r : parse_figure(p);
}

static int parse_comparison(struct parser *p)
{
	skip_blanks(p);
	if (!strncmp(p->at, "=<", 2) || !strncmp(p->at, "=>", 2))
		return complain(p, p->at, 2, "did you mean %c=?", p->at[1]);
	for (size_t i = 0; i < ARRAY_SIZE(comparisons); i++) {
		if (!takes(p, comparisons[i].text))
			continue;
		p->assertion->comparison = comparisons[i].comparison;
		return 0;
	}
	if (*p->at == '=')
		return complain(p, p->at, 1, "did you mean ==?");
	return complain(p, p->at, 1, "a comparison is missing: ==, !=, <, <=, > or >=");
}

/* ---- the limit ----------------------------------------------------------------------------- */

static int add_digits(struct decimal *number, const char **at, bool is_fraction)
{
	for (; isdigit((unsigned char)**at); ++*at) {
		uint64_t digit = **at - '0';

		if (number->mantissa > (UINT64_MAX - digit) / 10)
			return -ERANGE;
		if (is_fraction && number->scale == MAX_SCALE)
			return -ERANGE;
		number->mantissa = number->mantissa * 10 + digit;
		number->scale *= is_fraction ? 10 : 1;
	}
	return 0;
}

static int parse_decimal(struct parser *p, struct decimal *ret)
{
	const char *begin;
	int r;

	skip_blanks(p);
	begin = p->at;
	*ret = (struct decimal){ 0, 1 };
	r = add_digits(ret, &p->at, false);
	if (r == 0 && p->at > begin && *p->at == '.' && isdigit((unsigned char)p->at[1])) {
		p->at++;
		r = add_digits(ret, &p->at, true);
	}
	if (r < 0)
		return complain(
			p, begin, strspn(begin, "0123456789."),
			"too many digits: at most six behind the point, and 64 bits in all");
	if (p->at == begin)
		return complain(p, begin, word_length(begin), "a number is expected here");
	return 0;
}

/* No unit, but what parse_end() has a word for. */
static bool is_conjunction(const char *at, size_t length)
{
	return (length == 3 && !strncmp(at, "and", 3)) || (length == 2 && !strncmp(at, "or", 2));
}

/* What a unit stands for, as all options that take a size have it. */
static int parse_unit(struct parser *p, uint64_t *ret)
{
	bool is_of_bytes = dhat_metric_is_bytes(p->assertion->metric);
	char size[16];
	size_t length;

	skip_blanks(p);
	length = word_length(p->at);
	*ret = 1;
	if (!isalpha((unsigned char)*p->at) || is_conjunction(p->at, length))
		return 0;
	if (!is_of_bytes)
		return complain(p, p->at, length, "blocks are counted without a unit");
	snprintf(size, sizeof(size), "1%.*s", (int)length, p->at);
	if (length > 4 || dhat_parse_size(size, ret) < 0)
		return complain(p, p->at, length,
				"no such unit: there are B, KiB, MiB, GiB and TiB (k, M, G, T)");
	p->at += length;
	return 0;
}

static int parse_amount(struct parser *p)
{
	bool is_of_bytes = dhat_metric_is_bytes(p->assertion->metric);
	struct decimal number;
	unsigned __int128 amount;
	const char *begin;
	uint64_t unit;
	int r;

	skip_blanks(p);
	begin = p->at;
	r = parse_decimal(p, &number);
	if (r == 0)
		r = parse_unit(p, &unit);
	if (r < 0)
		return r;
	amount = (unsigned __int128)number.mantissa * unit;
	if (amount % number.scale)
		return complain(p, begin, p->at - begin, "no whole number of %s",
				is_of_bytes ? "bytes" : "blocks");
	amount /= number.scale;
	if (amount > UINT64_MAX)
		return complain(p, begin, p->at - begin, "more than 64 bits hold");
	p->assertion->amount = amount;
	return 0;
}

static int parse_factor(struct parser *p)
{
	struct decimal factor = { 1, 1 };
	const char *begin;

	if (takes(p, "*")) {
		skip_blanks(p);
		begin = p->at;
		if (parse_decimal(p, &factor) < 0)
			return -EINVAL;
		if (factor.mantissa >= MAX_FACTOR)
			return complain(p, begin, p->at - begin, "too large a factor");
	}
	p->assertion->numerator = factor.mantissa;
	p->assertion->denominator = factor.scale;
	return takes(p, "+") ? parse_amount(p) : 0;
}

static int parse_limit(struct parser *p)
{
	struct dhat_similar similar = { 0 };
	const char *begin;
	char word[64];
	size_t length;

	skip_blanks(p);
	begin = p->at;
	length = word_length(begin);
	p->assertion->denominator = 1;
	if (!length)
		return complain(p, begin, 1, "compared with what? a number, or the baseline");
	if (isdigit((unsigned char)*begin))
		return parse_amount(p);
	if (length == strlen("baseline") && takes(p, "baseline")) {
		if (p->assertion->metric >= DHAT_METRIC_COUNT)
			return complain(p, begin, length,
					"no baseline has that figure: compare it with a number");
		if (!p->assertion->is_growth)
			return parse_factor(p);
		return complain(p, begin, length,
				"growth is against the baseline already: compare it with a number");
	}
	snprintf(word, sizeof(word), "%.*s", (int)length, begin);
	similar.word = word;
	dhat_similar_consider(&similar, "baseline");
	if (similar.best)
		return complain(p, begin, length, "did you mean %s?", similar.best);
	return complain(p, begin, length, "a number or the word baseline is expected here");
}

static int parse_end(struct parser *p)
{
	skip_blanks(p);
	if (!*p->at)
		return 0;
	return complain(p, p->at, strlen(p->at),
			"nothing more is expected here; two conditions are two assertions");
}

int dhat_assertion_parse(const char *text, struct dhat_assertion *ret,
			 struct dhat_assertion_fault *fault)
{
	struct dhat_assertion assertion = { .text = strdup(text) };
	struct parser p = { text, text, &assertion, fault };
	int r = assertion.text ? 0 : -ENOMEM;

	if (r == 0)
		r = parse_subject(&p);
	if (r == 0)
		r = parse_comparison(&p);
	if (r == 0)
		r = parse_limit(&p);
	if (r == 0)
		r = parse_end(&p);
	if (r < 0) {
		dhat_assertion_deinit(&assertion);
		return r;
	}
	*ret = assertion;
	return 0;
}

void dhat_assertion_deinit(struct dhat_assertion *assertion)
{
	free(assertion->text);
	free(assertion->pattern);
	*assertion = (struct dhat_assertion){ 0 };
}

char *dhat_assertion_caret(const char *text, const struct dhat_assertion_fault *fault,
			   size_t indent)
{
	_cleanup_free_ char *before = strndup(text, fault->at), *marked = NULL;
	char *line = NULL, carets[81];
	size_t width;

	marked = strndup(text + strnlen(text, fault->at), fault->length);
	if (!before || !marked)
		return NULL;
	width = dhat_text_width(marked);
	width = width == 0 ? 1 : width < sizeof(carets) ? width : sizeof(carets) - 1;
	memset(carets, '^', width);
	carets[width] = 0;
	if (asprintf(&line, "%*s%s %s", (int)(indent + dhat_text_width(before)), "", carets,
		     fault->message) < 0)
		return NULL;
	return line;
}

/* ---- judging ------------------------------------------------------------------------------- */

bool dhat_assertion_needs_scan(const struct dhat_assertion *assertion)
{
	return assertion->metric == DHAT_LOST_BYTES || assertion->metric == DHAT_LOST_BLOCKS;
}

bool dhat_assertion_needs_pages(const struct dhat_assertion *assertion)
{
	return assertion->metric == DHAT_BESIDE_BYTES || assertion->metric == DHAT_FREE_BYTES;
}

bool dhat_assertion_needs_baseline(const struct dhat_assertion *assertion)
{
	return assertion->is_growth || assertion->numerator;
}

static bool compare(const struct dhat_assertion *assertion, enum dhat_comparison comparison,
		    uint64_t now, uint64_t baseline)
{
	__int128 left = now, right = assertion->amount;

	if (assertion->is_growth)
		left -= baseline;
	/* keeps A1 */
	left *= assertion->denominator;
	right *= assertion->denominator;
	if (assertion->numerator)
		right += (__int128)baseline * assertion->numerator;
	switch (comparison) {
	case DHAT_EQUAL:
		return left == right;
	case DHAT_NOT_EQUAL:
		return left != right;
	case DHAT_AT_MOST:
		return left <= right;
	case DHAT_AT_LEAST:
		return left >= right;
	case DHAT_LESS:
		return left < right;
	case DHAT_MORE:
		return left > right;
	}
	return false;
}

bool dhat_assertion_holds(const struct dhat_assertion *assertion, uint64_t now, uint64_t baseline)
{
	return compare(assertion, assertion->comparison, now, baseline);
}

static bool is_point(const struct dhat_interval *interval)
{
	return interval->low == interval->high;
}

/* Whether a comparison holds everywhere, and whether it does somewhere. Limits grow with the
 * baseline, and so the two ends are the worst and the best case. */
static void compare_all(const struct dhat_assertion *assertion, enum dhat_comparison comparison,
			const struct dhat_interval *now, const struct dhat_interval *baseline,
			bool *ret_always, bool *ret_ever)
{
	bool always, ever;

	switch (comparison) {
	case DHAT_AT_MOST:
	case DHAT_LESS:
		*ret_always = compare(assertion, comparison, now->high, baseline->low);
		*ret_ever = compare(assertion, comparison, now->low, baseline->high);
		return;
	case DHAT_AT_LEAST:
	case DHAT_MORE:
		*ret_always = compare(assertion, comparison, now->low, baseline->high);
		*ret_ever = compare(assertion, comparison, now->high, baseline->low);
		return;
	case DHAT_NOT_EQUAL:
		compare_all(assertion, DHAT_EQUAL, now, baseline, &always, &ever);
		*ret_always = !ever;
		*ret_ever = !always;
		return;
	case DHAT_EQUAL:
		*ret_ever = compare(assertion, DHAT_AT_MOST, now->low, baseline->high) &&
			    compare(assertion, DHAT_AT_LEAST, now->high, baseline->low);
		*ret_always = *ret_ever && is_point(now) &&
			      (is_point(baseline) || !dhat_assertion_needs_baseline(assertion));
		return;
	}
	*ret_always = *ret_ever = false;
}

enum dhat_answer dhat_assertion_answer(const struct dhat_assertion *assertion,
				       const struct dhat_interval *now,
				       const struct dhat_interval *baseline)
{
	bool always, ever;

	compare_all(assertion, assertion->comparison, now, baseline, &always, &ever);
	if (always)
		return DHAT_HOLDS;
	return ever ? DHAT_CANNOT_TELL : DHAT_FAILS;
}
