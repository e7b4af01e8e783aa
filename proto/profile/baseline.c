#include "baseline.h"

#include <errno.h>
#include <inttypes.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>

#include "proto/base/array.h"
#include "proto/base/cleanup.h"
#include "proto/base/json.h"
#include "proto/base/text.h"

static const char *const keys[DHAT_METRIC_COUNT] = {
	[DHAT_LIVE_BYTES] = "live_bytes",   [DHAT_LIVE_BLOCKS] = "live_blocks",
	[DHAT_PEAK_BYTES] = "peak_bytes",   [DHAT_PEAK_BLOCKS] = "peak_blocks",
	[DHAT_TOTAL_BYTES] = "total_bytes", [DHAT_TOTAL_BLOCKS] = "total_blocks",
};

DEFINE_CLEANUP_PTR(struct dhat_digest *, dhat_digest_free)
DEFINE_CLEANUP_PTR(struct json_object *, json_object_put)
DEFINE_CLEANUP_PTR(struct json_tokener *, json_tokener_free)

/* ---- writing ------------------------------------------------------------------------------- */

static void put_figures(FILE *file, const uint64_t *figures)
{
	for (size_t i = 0; i < DHAT_METRIC_COUNT; i++)
		fprintf(file, "%s\"%s\": %" PRIu64, i ? ", " : "", keys[i], figures[i]);
}

static const char *const seen_keys[DHAT_ESTIMATED_COUNT] = {
	[DHAT_ESTIMATED_TOTAL] = "total_seen",
	[DHAT_ESTIMATED_PEAK] = "peak_seen",
	[DHAT_ESTIMATED_LIVE] = "live_seen",
};
static const char *const single_keys[DHAT_ESTIMATED_COUNT] = {
	/* where there are any */
	[DHAT_ESTIMATED_TOTAL] = "total_single",
	[DHAT_ESTIMATED_PEAK] = "peak_single",
	[DHAT_ESTIMATED_LIVE] = "live_single",
};
static const char *const variance_keys[DHAT_ESTIMATED_COUNT] = {
	[DHAT_ESTIMATED_TOTAL] = "total_variance",
	[DHAT_ESTIMATED_PEAK] = "peak_variance",
	[DHAT_ESTIMATED_LIVE] = "live_variance",
};

/* Of a sample only. */
static void put_evidence(FILE *file, const struct dhat_digest *digest,
			 const struct dhat_evidence *evidence)
{
	for (size_t i = 0; digest->sample_bytes && i < DHAT_ESTIMATED_COUNT; i++) {
		fprintf(file, ", \"%s\": %" PRIu64 ", \"%s\": %.0f", seen_keys[i],
			evidence->seen_bytes[i], variance_keys[i], evidence->variance[i]);
		if (evidence->single_bytes[i])
			fprintf(file, ", \"%s\": %" PRIu64, single_keys[i],
				evidence->single_bytes[i]);
	}
}

static int put_row(FILE *file, const struct dhat_digest *digest, const struct dhat_digest_row *row)
{
	int r = 0;

	fputs("{\"stack\": [", file);
	for (size_t i = 0; r == 0 && i < row->name_count; i++) {
		fputs(i ? ", " : "", file);
		r = dhat_json_put_string(file, row->names[i]);
	}
	fputs("], ", file);
	put_figures(file, row->figures);
	put_evidence(file, digest, &row->evidence);
	fputc('}', file);
	return r;
}

int dhat_baseline_write(const struct dhat_digest *digest, FILE *file, struct dhat_error *err)
{
	int r;

	fprintf(file, "{\n\"dhatd_baseline\": %d,\n\"program\": ", DHAT_BASELINE_VERSION);
	r = dhat_json_put_string(file, digest->program);
	fprintf(file, ",\n\"verdict\": \"%s\"", dhat_verdict_word(digest->verdict));
	if (digest->sample_bytes)
		fprintf(file, ",\n\"sample_bytes\": %" PRIu64, digest->sample_bytes);
	fputs(",\n\"totals\": {", file);
	put_figures(file, digest->figures);
	put_evidence(file, digest, &digest->evidence);
	fputs("},\n\"stacks\": [", file);
	for (size_t i = 0; r == 0 && i < digest->row_count; i++) {
		fputs(i ? ",\n" : "\n", file);
		r = put_row(file, digest, &digest->rows[i]);
	}
	fputs("\n]\n}\n", file);
	return r < 0 ? dhat_error_errno(err, -r, "cannot write the baseline") : 0;
}

/* ---- reading ------------------------------------------------------------------------------- */

struct reader {
	const char *path;
	struct dhat_error *err;
};

__attribute__((format(printf, 2, 3))) static int bad(const struct reader *reader,
						     const char *format, ...)
{
	_cleanup_free_ char *what = NULL;
	va_list args;

	va_start(args, format);
	if (vasprintf(&what, format, args) < 0)
		what = NULL;
	va_end(args);
	return dhat_error_set(reader->err, EBADMSG, DHAT_EXIT_BAD_FILE,
			      "%s: not a baseline of dhatctl's: %s", reader->path,
			      what ?: "out of memory");
}

/* The whole of it, with a 0 behind. */
static int read_text(const struct reader *reader, FILE *file, char **ret, size_t *ret_size)
{
	_cleanup_free_ char *text = NULL;
	size_t size = 0, room = 0, n;

	do {
		if (size == room) {
			size_t wanted = room ? 2 * room : 65536;
			char *longer = realloc(text, wanted + 1);

			if (!longer)
				return dhat_error_errno(reader->err, ENOMEM, "cannot read %s",
							reader->path);
			text = longer;
			room = wanted;
		}
		n = fread(text + size, 1, room - size, file);
		size += n;
		if (size > DHAT_BASELINE_MAX_BYTES)
			return bad(reader, "it is too large");
	} while (n);
	if (ferror(file))
		return dhat_error_set(reader->err, errno, DHAT_EXIT_BAD_FILE, "cannot read %s: %s",
				      reader->path, strerror(errno));
	text[size] = 0;
	*ret = take_ptr(text);
	*ret_size = size;
	return 0;
}

static int parse(const struct reader *reader, const char *text, size_t size,
		 struct json_object **ret)
{
	_cleanup_(json_tokener_free_ptr) struct json_tokener *tokener = json_tokener_new();
	size_t line = 1, end;

	if (!tokener)
		return dhat_error_errno(reader->err, ENOMEM, "cannot read %s", reader->path);
	/* with the 0 behind it: what is cut short is an error, and asks for no more */
	*ret = json_tokener_parse_ex(tokener, text, (int)size + 1);
	end = json_tokener_get_parse_end(tokener);
	end += *ret ? strspn(text + end, " \t\r\n") : 0;
	if (*ret && end >= size)
		return 0;
	for (size_t i = 0; i < end && i < size; i++)
		line += text[i] == '\n';
	return bad(reader, "line %zu is no JSON", line);
}

/* what: "the totals", "row 3" */
static int take_figures(const struct reader *reader, struct json_object *object, const char *what,
			uint64_t *figures)
{
	for (size_t i = 0; i < DHAT_METRIC_COUNT; i++) {
		struct json_object *value;

		if (!json_object_is_type(object, json_type_object) ||
		    !json_object_object_get_ex(object, keys[i], &value))
			return bad(reader, "%s: %s is missing", what, keys[i]);
		if (!json_object_is_type(value, json_type_int) || json_object_get_int64(value) < 0)
			return bad(reader, "%s: %s is no number", what, keys[i]);
		figures[i] = json_object_get_uint64(value);
	}
	return 0;
}

/* What an estimate of such a file stands on; what is missing is as E3 of estimate.h says. */
static void take_evidence(struct json_object *object, const struct dhat_digest *digest,
			  const uint64_t *figures, struct dhat_evidence *ret)
{
	static const enum dhat_metric metrics[DHAT_ESTIMATED_COUNT] = {
		[DHAT_ESTIMATED_TOTAL] = DHAT_TOTAL_BYTES,
		[DHAT_ESTIMATED_PEAK] = DHAT_PEAK_BYTES,
		[DHAT_ESTIMATED_LIVE] = DHAT_LIVE_BYTES,
	};

	for (size_t i = 0; digest->sample_bytes && i < DHAT_ESTIMATED_COUNT; i++) {
		struct json_object *seen, *variance, *single;

		ret->variance[i] = (double)figures[metrics[i]] * (double)digest->sample_bytes;
		if (!json_object_object_get_ex(object, seen_keys[i], &seen) ||
		    !json_object_object_get_ex(object, variance_keys[i], &variance))
			continue;
		ret->seen_bytes[i] = json_object_get_uint64(seen);
		ret->variance[i] = dhat_variance_told(json_object_get_double(variance),
						      digest->sample_bytes, figures[metrics[i]]);
		if (json_object_object_get_ex(object, single_keys[i], &single))
			ret->single_bytes[i] = json_object_get_uint64(single);
	}
}

static int take_names(const struct reader *reader, struct json_object *stack, const char *what,
		      char **names)
{
	size_t count = json_object_array_length(stack);

	for (size_t i = 0; i < count; i++) {
		struct json_object *name = json_object_array_get_idx(stack, i);

		if (!json_object_is_type(name, json_type_string))
			return bad(reader, "%s: a name of the stack is no text", what);
		names[i] = dhat_text_clean(json_object_get_string(name));
		if (!names[i])
			return dhat_error_errno(reader->err, ENOMEM, "cannot read %s",
						reader->path);
	}
	return 0;
}

static int take_row(const struct reader *reader, struct json_object *object, size_t number,
		    struct dhat_digest *digest)
{
	struct json_object *stack = NULL;
	struct dhat_digest_row *row;
	size_t count;
	char what[32];
	int r;

	snprintf(what, sizeof(what), "stack %zu", number);
	if (!json_object_is_type(object, json_type_object) ||
	    !json_object_object_get_ex(object, "stack", &stack) ||
	    !json_object_is_type(stack, json_type_array) || !json_object_array_length(stack))
		return bad(reader, "%s has no names", what);
	count = json_object_array_length(stack);
	r = dhat_digest_add(digest, calloc(count, sizeof(char *)), count, &row);
	if (r < 0 || !row->names) {
		digest->row_count -= r == 0;
		return dhat_error_errno(reader->err, ENOMEM, "cannot read %s", reader->path);
	}
	r = take_names(reader, stack, what, row->names);
	if (r == 0)
		r = take_figures(reader, object, what, row->figures);
	if (r == 0)
		take_evidence(object, digest, row->figures, &row->evidence);
	return r;
}

static int take_head(const struct reader *reader, struct json_object *root,
		     struct dhat_digest *digest)
{
	struct json_object *version, *totals = NULL, *program = NULL, *sample = NULL;
	int r;

	if (!json_object_is_type(root, json_type_object) ||
	    !json_object_object_get_ex(root, "dhatd_baseline", &version) ||
	    !json_object_is_type(version, json_type_int))
		return bad(reader, "dhatd_baseline is missing (`dhatctl assert --write-baseline' "
				   "makes one)");
	if (json_object_get_int64(version) != DHAT_BASELINE_VERSION)
		return bad(reader, "it is of version %" PRId64 ", this program reads version %d",
			   json_object_get_int64(version), DHAT_BASELINE_VERSION);
	if (json_object_object_get_ex(root, "program", &program) &&
	    json_object_is_type(program, json_type_string))
		digest->program = dhat_text_clean(json_object_get_string(program));
	else
		digest->program = strdup("?");
	if (!digest->program)
		return dhat_error_errno(reader->err, ENOMEM, "cannot read %s", reader->path);
	json_object_object_get_ex(root, "totals", &totals);
	if (json_object_object_get_ex(root, "sample_bytes", &sample))
		digest->sample_bytes = json_object_get_uint64(sample);
	r = take_figures(reader, totals, "the totals", digest->figures);
	if (r == 0)
		take_evidence(totals, digest, digest->figures, &digest->evidence);
	return r;
}

/* A word that is not known is none to be trusted. */
static enum dhat_verdict verdict_of(struct json_object *root)
{
	struct json_object *word = NULL;
	const char *text;

	if (!json_object_object_get_ex(root, "verdict", &word))
		return DHAT_INEXACT;
	text = json_object_get_string(word);
	for (int i = DHAT_EXACT; text && i <= DHAT_NOT_KNOWN; i++)
		if (!strcmp(text, dhat_verdict_word(i)))
			return i;
	return DHAT_INEXACT;
}

static int take_rows(const struct reader *reader, struct json_object *root,
		     struct dhat_digest *digest)
{
	struct json_object *stacks = NULL;
	size_t count;
	int r = 0;

	if (!json_object_object_get_ex(root, "stacks", &stacks) ||
	    !json_object_is_type(stacks, json_type_array))
		return bad(reader, "the list of stacks is missing");
	count = json_object_array_length(stacks);
	for (size_t i = 0; r == 0 && i < count; i++)
		r = take_row(reader, json_object_array_get_idx(stacks, i), i + 1, digest);
	if (r == 0 && !dhat_digest_sort(digest))
		return bad(reader, "a stack is there twice");
	return r;
}

int dhat_baseline_read(FILE *file, const char *path, struct dhat_digest **ret,
		       struct dhat_error *err)
{
	_cleanup_(dhat_digest_free_ptr) struct dhat_digest *digest = calloc(1, sizeof(*digest));
	_cleanup_(json_object_put_ptr) struct json_object *root = NULL;
	const struct reader reader = { path, err };
	_cleanup_free_ char *text = NULL;
	size_t size = 0;
	int r;

	if (!digest)
		return dhat_error_errno(err, ENOMEM, "cannot read %s", path);
	r = read_text(&reader, file, &text, &size);
	if (r == 0)
		r = parse(&reader, text, size, &root);
	if (r == 0)
		r = take_head(&reader, root, digest);
	if (r < 0)
		return r;
	digest->verdict = verdict_of(root);
	r = take_rows(&reader, root, digest);
	if (r < 0)
		return r;
	*ret = take_ptr(digest);
	return 0;
}
