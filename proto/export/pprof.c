/* pprof: a gzipped profile.proto, for `go tool pprof' and what else reads it.
 *
 * Eight numbers a sample, by the names that Go's heap profiles gave them (alloc_objects,
 * inuse_space, …), so that pprof's own options for them work, those at t-gmax, and what is in
 * memory. What its readers make of a file decides the rest:
 * - a mapping says that functions, file names and lines are there, else pprof opens the file of
 * that name on its own machine and puts its names over ours;
 * - a function's system_name is the mangled name, or none: where it equals the name that is shown,
 * pprof cuts template arguments and parameters off it, and overloads become one;
 * - a location without a name would be shown as its file, all of them as one: it gets
 * "libc.so.6+0x12a4";
 * - two profiles can be subtracted only if their kinds of samples and period are the same: they
 * always are.
 */
#include "export.h"

#include <errno.h>
#include <inttypes.h>
#include <stdlib.h>
#include <string.h>
#include <zlib.h>

#include "proto/base/array.h"
#include "proto/base/cleanup.h"
#include "proto/base/interned.h"
#include "proto/base/text.h"
#include "proto/export/intervals.h"
#include "proto/export/pprof.pb-c.h"
#include "proto/profile/frame_text.h"
#include "proto/profile/threads.h"
#include "proto/profile/trim.h"
#include "proto/profile/verdict.h"

/* In the order of Go's heap profile, with the peak behind; the numbers of a program point. */
static const struct {
	const char *type, *unit;
	size_t offset;
} kinds[] = {
#define POINT(field) offsetof(Dhat__ProgramPoint, field)
	{ "alloc_objects", "count", POINT(total_blocks) },
	{ "alloc_space", "bytes", POINT(total_bytes) },
	{ "inuse_objects", "count", POINT(live_blocks) },
	{ "inuse_space", "bytes", POINT(live_bytes) },
	{ "peak_objects", "count", POINT(peak_blocks) },
	{ "peak_space", "bytes", POINT(peak_bytes) },
	/* of the live ones, as tcmalloc calls it; 0, with a word, where it is not known */
	{ "resident_space", "bytes", POINT(resident_bytes) },
	{ "swapped_space", "bytes", POINT(swapped_bytes) },
#undef POINT
};
enum { KIND_COUNT = ARRAY_SIZE(kinds) };

/* Where the kind of that metric stands. */
static const char *const type_of_metric[] = {
	[DHAT_LIVE_BYTES] = "inuse_space",  [DHAT_LIVE_BLOCKS] = "inuse_objects",
	[DHAT_PEAK_BYTES] = "peak_space",   [DHAT_PEAK_BLOCKS] = "peak_objects",
	[DHAT_TOTAL_BYTES] = "alloc_space", [DHAT_TOTAL_BLOCKS] = "alloc_objects",
};
_Static_assert(ARRAY_SIZE(type_of_metric) == DHAT_METRIC_COUNT, "each metric is a kind of sample");

#define PAGE_BYTES 4096ull /* of pprof's own making: mappings are shown, not looked up */

struct list { /* of messages, all owned */
	void **at;
	size_t count, room;
};

struct builder {
	const struct dhat_snapshot *snapshot;
	unsigned trim_rules;
	struct interned strings;			/* string_table */
	struct interned mappings, functions, locations; /* by a key; the number is the id - 1 */
	struct list mapping_list, function_list, location_list, sample_list;
	/* of the stack at hand */
	const char **names;
	bool *keep;
	size_t name_room, keep_room;
	uint64_t *ids;
	size_t id_count, id_room;
};

static void list_deinit(struct list *list)
{
	for (size_t i = 0; i < list->count; i++)
		protobuf_c_message_free_unpacked(list->at[i], NULL);
	free(list->at);
}

static void builder_deinit(struct builder *builder)
{
	interned_deinit(&builder->strings);
	interned_deinit(&builder->mappings);
	interned_deinit(&builder->functions);
	interned_deinit(&builder->locations);
	list_deinit(&builder->mapping_list);
	list_deinit(&builder->function_list);
	list_deinit(&builder->location_list);
	list_deinit(&builder->sample_list);
	free(builder->names);
	free(builder->keep);
	free(builder->ids);
}

/* A new message at the list's end, which owns it. NULL: no memory. */
static void *append(struct list *list, const ProtobufCMessageDescriptor *descriptor)
{
	ProtobufCMessage *message;

	if (array_make_room(&list->at, &list->room, list->count))
		return NULL;
	message = calloc(1, descriptor->sizeof_message);
	if (!message)
		return NULL;
	protobuf_c_message_init(descriptor, message);
	return list->at[list->count++] = message;
}

/* The place of a text in string_table. */
static int string(struct builder *builder, const char *text, int64_t *ret)
{
	_cleanup_free_ char *clean = dhat_text_clean(text);
	uint32_t index;
	int r;

	r = clean ? interned_add(&builder->strings, clean, &index) : -ENOMEM;
	*ret = r < 0 ? 0 : index;
	return r;
}

/* The number of a key, and whether it is new. The caller frees nothing; key NULL: no memory. */
static int number_of(struct interned *interned, char *key, uint32_t *ret, bool *ret_is_new)
{
	uint32_t before = interned->count;
	int r = key ? interned_add(interned, key, ret) : -ENOMEM;

	free(key);
	*ret_is_new = r == 0 && interned->count > before;
	return r;
}

static char *format(const char *fmt, ...) __attribute__((format(printf, 1, 2)));
static char *format(const char *fmt, ...)
{
	char *text;
	va_list args;
	int n;

	va_start(args, fmt);
	n = vasprintf(&text, fmt, args);
	va_end(args);
	return n < 0 ? NULL : text;
}

/* ---- mappings, functions, locations -------------------------------------------------------- */

/* What a file is mapped to is known by the frames in it: from the first to the last. */
static int mapping_of(struct builder *builder, const Dhat__Frame *frame, uint64_t *ret_id)
{
	uint64_t bias = frame->address - frame->object_vaddr;
	uint64_t page = frame->address & ~(PAGE_BYTES - 1);
	Pprof__Mapping *mapping;
	uint32_t number;
	bool is_new;
	int r;

	*ret_id = 0;
	if (!*frame->object)
		return 0;
	r = number_of(&builder->mappings,
		      format("%" PRIx64 " %s %s", bias, frame->build_id, frame->object), &number,
		      &is_new);
	if (r < 0)
		return r;
	if (is_new) {
		mapping = append(&builder->mapping_list, &pprof__mapping__descriptor);
		if (!mapping)
			return -ENOMEM;
		mapping->id = number + 1;
		mapping->memory_start = page;
		mapping->has_functions = mapping->has_filenames = mapping->has_line_numbers =
			mapping->has_inline_frames = true;
		r = string(builder, frame->object, &mapping->filename);
		if (r == 0)
			r = string(builder, frame->build_id, &mapping->build_id);
	}
	mapping = builder->mapping_list.at[number];
	if (mapping->memory_start > page)
		mapping->memory_start = page;
	if (mapping->memory_limit < page + PAGE_BYTES)
		mapping->memory_limit = page + PAGE_BYTES;
	mapping->file_offset = mapping->memory_start - bias;
	*ret_id = number + 1;
	return r;
}

static int function_of(struct builder *builder, const char *name, const char *linkage_name,
		       const char *file, uint64_t *ret_id)
{
	Pprof__Function *function;
	uint32_t number;
	bool is_new;
	int r;

	r = number_of(&builder->functions, format("%s\n%s\n%s", name, linkage_name, file), &number,
		      &is_new);
	if (r < 0)
		return r;
	*ret_id = number + 1;
	if (!is_new)
		return 0;
	function = append(&builder->function_list, &pprof__function__descriptor);
	if (!function)
		return -ENOMEM;
	function->id = number + 1;
	r = string(builder, name, &function->name);
	if (r == 0)
		r = string(builder, linkage_name, &function->system_name);
	return r < 0 ? r : string(builder, file, &function->filename);
}

static int add_line(struct builder *builder, Pprof__Location *location, const char *name,
		    const Dhat__Location *from)
{
	Pprof__Line **grown = reallocarray(location->line, location->n_line + 1, sizeof(*grown));
	Pprof__Line *line = malloc(sizeof(*line));

	if (grown)
		location->line = grown;
	if (!grown || !line) {
		free(line);
		return -ENOMEM;
	}
	pprof__line__init(line);
	location->line[location->n_line++] = line;
	if (from) {
		line->line = from->line;
		line->column = from->column;
	}
	return function_of(builder, name, from ? from->linkage_name : "", from ? from->file : "",
			   &line->function_id);
}

/* Those of its lines that are kept; keep NULL: all. */
static int add_lines(struct builder *builder, Pprof__Location *location, const Dhat__Frame *frame,
		     const bool *keep)
{
	int r = 0;

	for (size_t i = 0; r == 0 && i < (frame->n_locations ?: 1); i++) {
		const Dhat__Location *from = frame->n_locations ? frame->locations[i] : NULL;
		_cleanup_free_ char *name = NULL;

		if (keep && !keep[i])
			continue;
		name = dhat_frame_name(frame, from);
		r = name ? add_line(builder, location, name, from) : -ENOMEM;
	}
	return r;
}

/* The same frame with other lines kept is another location. */
static char *key_of_frame(uint32_t frame_number, const bool *keep, size_t count)
{
	_cleanup_free_ char *kept = calloc(count + 1, 1);

	if (!kept)
		return NULL;
	for (size_t i = 0; keep && i < count; i++)
		kept[i] = keep[i] ? '1' : '0';
	return format("%" PRIu32 " %s", frame_number, kept);
}

static int push_location(struct builder *builder, uint32_t number)
{
	if (array_make_room(&builder->ids, &builder->id_room, builder->id_count))
		return -ENOMEM;
	builder->ids[builder->id_count++] = number + 1;
	return 0;
}

/* keep: one for each of its lines (one, if it has none), or NULL. A frame of which nothing is kept
 * is left out. */
static int push_frame(struct builder *builder, uint32_t frame_number, const bool *keep)
{
	const Dhat__Frame *frame = builder->snapshot->frames[frame_number - 1];
	size_t count = frame->n_locations ?: 1;
	Pprof__Location *location;
	uint32_t number;
	bool is_new;
	int r;

	if (keep && !memchr(keep, true, count))
		return 0;
	r = number_of(&builder->locations, key_of_frame(frame_number, keep, count), &number,
		      &is_new);
	if (r == 0 && is_new) {
		location = append(&builder->location_list, &pprof__location__descriptor);
		if (!location)
			return -ENOMEM;
		location->id = number + 1;
		location->address = frame->address;
		r = mapping_of(builder, frame, &location->mapping_id);
		if (r == 0)
			r = add_lines(builder, location, frame, keep);
	}
	return r < 0 ? r : push_location(builder, number);
}

/* What is no frame: "[allocated before attach]". */
static int push_note(struct builder *builder, const char *note)
{
	_cleanup_free_ char *clean = dhat_text_clean(note);
	Pprof__Location *location;
	uint32_t number;
	bool is_new;
	int r;

	if (!clean)
		return -ENOMEM;
	r = number_of(&builder->locations, format("note %s", clean), &number, &is_new);
	if (r == 0 && is_new) {
		location = append(&builder->location_list, &pprof__location__descriptor);
		if (!location)
			return -ENOMEM;
		location->id = number + 1;
		r = add_line(builder, location, clean, NULL);
	}
	return r < 0 ? r : push_location(builder, number);
}

/* ---- samples ------------------------------------------------------------------------------- */

/* Which lines of a stack's frames are kept, in builder->keep; *ret_keep NULL: all. */
static int decide(struct builder *builder, const Dhat__ProgramPoint *point, const bool **ret_keep)
{
	size_t count = 0;

	*ret_keep = NULL;
	if (!builder->trim_rules)
		return 0;
	for (size_t i = 0; i < point->n_frames; i++) {
		const Dhat__Frame *frame = builder->snapshot->frames[point->frames[i] - 1];

		for (size_t j = 0; j < (frame->n_locations ?: 1); j++) {
			if (array_make_room(&builder->names, &builder->name_room, count) ||
			    array_make_room(&builder->keep, &builder->keep_room, count))
				return -ENOMEM;
			builder->names[count++] =
				frame->n_locations ? frame->locations[j]->function : NULL;
		}
	}
	if (count) {
		dhat_trim_stack(builder->names, count, builder->trim_rules, builder->keep);
		*ret_keep = builder->keep;
	}
	return 0;
}

static int push_stack(struct builder *builder, const Dhat__ProgramPoint *point)
{
	const char *stop = dhat_stop_reason(point);
	_cleanup_free_ char *note = stop ? format("[stack ends early: %s]", stop) : NULL;
	const bool *keep;
	int r;

	builder->id_count = 0;
	r = decide(builder, point, &keep);
	if (r == 0 && *point->label)
		r = push_note(builder, point->label);
	for (size_t i = 0; r == 0 && i < point->n_frames; i++) {
		r = push_frame(builder, point->frames[i], keep);
		if (keep)
			keep += builder->snapshot->frames[point->frames[i] - 1]->n_locations ?: 1;
	}
	if (r == 0 && stop)
		r = note ? push_note(builder, note) : -ENOMEM;
	if (r == 0 && !builder->id_count)
		r = push_note(builder, "[no stack]");
	return r;
}

static int add_label(struct builder *builder, Pprof__Sample *sample, const char *key,
		     Pprof__Label **ret)
{
	Pprof__Label **grown =
		reallocarray(sample->label, sample->n_label + 1, sizeof(*sample->label));
	Pprof__Label *label = malloc(sizeof(*label));

	if (grown)
		sample->label = grown;
	if (!grown || !label) {
		free(label);
		return -ENOMEM;
	}
	pprof__label__init(label);
	sample->label[sample->n_label++] = *ret = label;
	return string(builder, key, &label->key);
}

static int add_text_label(struct builder *builder, Pprof__Sample *sample, const char *key,
			  const char *text)
{
	Pprof__Label *label;
	int r = add_label(builder, sample, key, &label);

	return r < 0 ? r : string(builder, text, &label->str);
}

/* One text, however many threads they are: a sample's numbers are not told apart by them, and
 * pprof would count the sample once for each. */
static int add_who(struct builder *builder, Pprof__Sample *sample, const Dhat__ProgramPoint *point)
{
	const Dhat__SnapshotHead *head = builder->snapshot->head;
	const char *allocator = dhat_allocator_name(head, point->allocator);
	_cleanup_free_ char *threads = NULL;
	int r = 0;

	if (point->threads && head->n_threads) {
		threads = dhat_threads_text(head, point->threads);
		r = threads ? add_text_label(builder, sample, "thread", threads) : -ENOMEM;
	}
	if (r == 0 && allocator)
		r = add_text_label(builder, sample, "allocator", allocator);
	return r;
}

/* Who allocates; what kind of memory it is; and the mean age of what is live:
 * `-tagfocus=age=3600s:' are stacks whose blocks are an hour old and more. */
static int add_labels(struct builder *builder, Pprof__Sample *sample,
		      const Dhat__ProgramPoint *point)
{
	Pprof__Label *label;
	int r = add_who(builder, sample, point);

	if (r == 0 && *point->kind)
		r = add_text_label(builder, sample, "kind", point->kind);
	if (r < 0 || !point->live_blocks || !point->mean_age_us || point->mean_age_us > INT64_MAX)
		return r;
	r = add_label(builder, sample, "age", &label);
	if (r < 0)
		return r;
	label->num = (int64_t)point->mean_age_us;
	return string(builder, "microseconds", &label->num_unit);
}

static int add_sample(struct builder *builder, const Dhat__ProgramPoint *point)
{
	Pprof__Sample *sample;
	int r;

	r = push_stack(builder, point);
	if (r < 0)
		return r;
	sample = append(&builder->sample_list, &pprof__sample__descriptor);
	if (!sample)
		return -ENOMEM;
	sample->location_id = malloc(builder->id_count * sizeof(*sample->location_id));
	sample->value = malloc(KIND_COUNT * sizeof(*sample->value));
	if (!sample->location_id || !sample->value)
		return -ENOMEM;
	sample->n_location_id = builder->id_count;
	memcpy(sample->location_id, builder->ids, builder->id_count * sizeof(*builder->ids));
	sample->n_value = KIND_COUNT;
	for (size_t i = 0; i < sample->n_value; i++)
		sample->value[i] = *(const uint64_t *)((const char *)point + kinds[i].offset);
	return add_labels(builder, sample, point);
}

/* ---- the file ------------------------------------------------------------------------------ */

/* Behind the gzip header of RFC 1952; all at once. */
static int put_zipped(const uint8_t *bytes, size_t size, FILE *file)
{
	uint8_t block[65536];
	z_stream stream = { .next_in = (uint8_t *)(uintptr_t)bytes, .avail_in = size };
	int r;

	if (size > UINT32_MAX)
		return -EFBIG;
	if (deflateInit2(&stream, Z_DEFAULT_COMPRESSION, Z_DEFLATED, 16 + MAX_WBITS, 8,
			 Z_DEFAULT_STRATEGY) != Z_OK)
		return -ENOMEM;
	do {
		stream.next_out = block;
		stream.avail_out = sizeof(block);
		r = deflate(&stream, Z_FINISH);
		fwrite(block, 1, sizeof(block) - stream.avail_out, file);
	} while (r == Z_OK);
	deflateEnd(&stream);
	return r == Z_STREAM_END ? 0 : -EIO;
}

static int put_profile(const Pprof__Profile *profile, FILE *file)
{
	size_t size = pprof__profile__get_packed_size(profile);
	_cleanup_free_ uint8_t *bytes = malloc(size + 1);

	if (!bytes)
		return -ENOMEM;
	pprof__profile__pack(profile, bytes);
	return put_zipped(bytes, size, file);
}

/* pprof prints them above each report: the verdict and its reasons. */
static int add_comments(struct builder *builder, int64_t *comments, size_t *count)
{
	const Dhat__Verdict *verdict = builder->snapshot->end->verdict;
	_cleanup_free_ char *first =
		format("dhatd " DHAT_VERSION ": %s", dhat_verdict_word(dhat_verdict_of(verdict)));
	_cleanup_free_ char *estimates = intervals_sentence(builder->snapshot);
	int r = first ? string(builder, first, &comments[(*count)++]) : -ENOMEM;

	for (size_t i = 0; r == 0 && i < verdict->n_reasons; i++)
		r = string(builder, verdict->reasons[i], &comments[(*count)++]);
	if (r == 0 && estimates)
		r = string(builder, estimates, &comments[(*count)++]);
	if (r == 0 && !builder->snapshot->head->has_pages)
		r = string(builder, "resident_space and swapped_space are not known",
			   &comments[(*count)++]);
	return r;
}

static int put_file(struct builder *builder, enum dhat_metric metric, FILE *file)
{
	const struct dhat_snapshot *snapshot = builder->snapshot;
	Pprof__Profile profile = PPROF__PROFILE__INIT;
	Pprof__ValueType types[KIND_COUNT], *type_list[KIND_COUNT];
	Pprof__ValueType period_type = PPROF__VALUE_TYPE__INIT;
	_cleanup_free_ int64_t *comments =
		calloc(snapshot->end->verdict->n_reasons + 3, sizeof(*comments));
	int r = comments ? 0 : -ENOMEM;

	for (size_t i = 0; r == 0 && i < KIND_COUNT; i++) {
		pprof__value_type__init(&types[i]);
		type_list[i] = &types[i];
		r = string(builder, kinds[i].type, &types[i].type);
		if (r == 0)
			r = string(builder, kinds[i].unit, &types[i].unit);
	}
	if (r == 0)
		r = string(builder, type_of_metric[metric], &profile.default_sample_type);
	if (r == 0)
		r = string(builder, "space", &period_type.type);
	if (r == 0)
		r = string(builder, "bytes", &period_type.unit);
	if (r == 0)
		r = add_comments(builder, comments, &profile.n_comment);
	if (r < 0)
		return r;
	profile.comment = comments;
	profile.sample_type = type_list;
	profile.n_sample_type = KIND_COUNT;
	profile.period_type = &period_type;
	/* values are scaled already, as those of Go and of tcmalloc are when they are written */
	profile.period = (int64_t)snapshot->head->sample_bytes ?: 1; /* 1: each was counted */
	profile.time_nanos = snapshot->head->taken_unix_ns;
	profile.duration_nanos = snapshot->head->target->observed_ns;
	profile.sample = (Pprof__Sample **)builder->sample_list.at;
	profile.n_sample = builder->sample_list.count;
	profile.mapping = (Pprof__Mapping **)builder->mapping_list.at;
	profile.n_mapping = builder->mapping_list.count;
	profile.location = (Pprof__Location **)builder->location_list.at;
	profile.n_location = builder->location_list.count;
	profile.function = (Pprof__Function **)builder->function_list.at;
	profile.n_function = builder->function_list.count;
	profile.string_table = builder->strings.list;
	profile.n_string_table = builder->strings.count;
	return put_profile(&profile, file);
}

/* The first mapping is what readers call the profile by: the program, not whichever library
 * allocated first. */
static int begin_with_program(struct builder *builder)
{
	const struct dhat_snapshot *snapshot = builder->snapshot;
	uint64_t unused;

	for (size_t i = 0; i < snapshot->frame_count; i++)
		if (!strcmp(snapshot->frames[i]->object, snapshot->head->target->executable))
			return mapping_of(builder, snapshot->frames[i], &unused);
	return 0;
}

static int write_pprof(const struct dhat_snapshot *snapshot,
		       const struct dhat_export_options *options, FILE *file,
		       struct dhat_error *err)
{
	struct builder builder = { .snapshot = snapshot, .trim_rules = options->trim_rules };
	int64_t empty;
	int r;

	r = string(&builder, "", &empty); /* the first */
	if (r == 0)
		r = begin_with_program(&builder);
	for (size_t i = 0; r == 0 && i < snapshot->point_count; i++)
		r = add_sample(&builder, snapshot->points[i]);
	if (r == 0)
		r = put_file(&builder, options->metric, file);
	builder_deinit(&builder);
	return r < 0 ? dhat_error_errno(err, -r, "cannot write the profile for pprof") : 0;
}

const struct dhat_exporter dhat_pprof_exporter = {
	.name = "pprof",
	.suffix = ".pb.gz",
	.holds_differences = true, /* values have signs */
	.write = write_pprof,
};
