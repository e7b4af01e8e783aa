#include "request.h"

#include <curl/curl.h>
#include <errno.h>
#include <inttypes.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

#include "proto/base/cleanup.h"
#include "proto/base/json.h"
#include "proto/base/program.h"
#include "proto/export/export.h"

#define MAGIC "dhatd-push 1\n"
#define VALUE_CHARS 128

bool request_is_since_last(enum push_form form)
{
	return form == PUSH_PYROSCOPE || form == PUSH_CONNECT;
}

/* ---- what a series is called --------------------------------------------------------------- */

struct label {
	const char *name;
	char value[VALUE_CHARS];
};
enum { LABELS_MAX = 6 };

/* What stores of labels take everywhere: of other characters there is a "_". */
static void set_label(struct label *label, const char *name, const char *value)
{
	size_t used = 0;

	label->name = name;
	for (; *value && used < VALUE_CHARS - 1; value++)
		label->value[used++] =
			(*value >= 'a' && *value <= 'z') || (*value >= 'A' && *value <= 'Z') ||
					(*value >= '0' && *value <= '9') || strchr("._-/", *value)
				? *value
				: '_';
	if (!used)
		label->value[used++] = '_';
	label->value[used] = '\0';
}

/* The first is what the program is called. */
static size_t labels_of(const struct dhat_snapshot *snapshot, struct label ret[LABELS_MAX])
{
	const Dhat__Target *target = snapshot->head->target;
	char program[DHAT_PROGRAM_CHARS], pid[16];
	size_t count = 0;

	dhat_program_name(target->command, target->executable, program);
	snprintf(pid, sizeof(pid), "%" PRIu32, target->pid);
	set_label(&ret[count++], "service_name", program);
	set_label(&ret[count++], "hostname", snapshot->head->host);
	set_label(&ret[count++], "pid", pid);
	if (target->container && *target->container->id)
		set_label(&ret[count++], "container_id", target->container->id);
	if (target->container && *target->container->pod)
		set_label(&ret[count++], "pod_uid", target->container->pod);
	return count;
}

static int put_query(const struct dhat_snapshot *snapshot, uint64_t since_unix_ns, FILE *file)
{
	struct label labels[LABELS_MAX];
	size_t count = labels_of(snapshot, labels);
	char name[LABELS_MAX * (VALUE_CHARS + 16)], *escaped;
	size_t used = snprintf(name, sizeof(name), "%s{", labels[0].value);

	for (size_t i = 1; i < count; i++)
		used += snprintf(name + used, sizeof(name) - used, "%s%s=%s", i > 1 ? "," : "",
				 labels[i].name, labels[i].value);
	snprintf(name + used, sizeof(name) - used, "}");
	escaped = curl_easy_escape(NULL, name, 0);
	if (!escaped)
		return -ENOMEM;
	fprintf(file, "name=%s&from=%" PRIu64 "&until=%" PRIu64 "&format=pprof&spyName=dhatd",
		escaped, since_unix_ns / 1000000000, snapshot->head->taken_unix_ns / 1000000000);
	curl_free(escaped);
	return 0;
}

/* ---- bodies -------------------------------------------------------------------------------- */

static int write_pprof(const struct dhat_snapshot *snapshot, FILE *file, struct dhat_error *err)
{
	const struct dhat_export_options options = { .metric = DHAT_LIVE_BYTES };

	return dhat_pprof_exporter.write(snapshot, &options, file, err);
}

/* RFC 4648, 4 */
static void put_base64(const uint8_t *bytes, size_t size, FILE *file)
{
	static const char digits[] =
		"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";

	for (size_t i = 0; i < size; i += 3) {
		size_t have = size - i < 3 ? size - i : 3;
		uint32_t bits = bytes[i] << 16 | (have > 1 ? bytes[i + 1] : 0) << 8 |
				(have > 2 ? bytes[i + 2] : 0);

		for (size_t j = 0; j < 4; j++)
			putc(j <= have ? digits[bits >> (18 - 6 * j) & 63] : '=', file);
	}
}

static int put_encoded_pprof(const struct dhat_snapshot *snapshot, FILE *file,
			     struct dhat_error *err)
{
	_cleanup_free_ char *bytes = NULL;
	size_t size = 0;
	FILE *memory = open_memstream(&bytes, &size);
	int r = memory ? write_pprof(snapshot, memory, err) : -ENOMEM;

	if (memory && fclose(memory))
		r = r ? r : -ENOMEM;
	if (r == 0)
		put_base64((const uint8_t *)bytes, size, file);
	return r;
}

static void put_label(const char *name, const char *value, bool is_first, FILE *file)
{
	fprintf(file, "%s{\"name\":\"%s\",\"value\":\"%s\"}", is_first ? "" : ",", name, value);
}

/* Their texts need no quotes: set_label(). */
static void put_labels(const struct dhat_snapshot *snapshot, FILE *file)
{
	struct label labels[LABELS_MAX];
	size_t count = labels_of(snapshot, labels);

	put_label("__name__", "memory", true, file);
	for (size_t i = 0; i < count; i++)
		put_label(labels[i].name, labels[i].value, false, file);
}

/* "__delta__": what was allocated is since the last one already. The ID is to be one of its own:
 * time and process are, on a host. */
static int put_connect(const struct dhat_snapshot *snapshot, FILE *file, struct dhat_error *err)
{
	uint64_t when = snapshot->head->taken_unix_ns;
	int r;

	fputs("{\"series\":[{\"labels\":[", file);
	put_labels(snapshot, file);
	put_label("__delta__", "false", false, file);
	fprintf(file, "],\"samples\":[{\"ID\":\"%08x-%04x-4%03x-8%03x-%012" PRIx64 "\",",
		(unsigned)(when >> 32), (unsigned)(when >> 16 & 0xffff),
		(unsigned)(when >> 4 & 0xfff), (unsigned)(when & 0xf),
		(uint64_t)snapshot->head->target->pid);
	fputs("\"rawProfile\":\"", file);
	r = put_encoded_pprof(snapshot, file, err);
	fputs("\"}]}]}", file);
	return r;
}

static int put_parca(const struct dhat_snapshot *snapshot, FILE *file, struct dhat_error *err)
{
	int r;

	fputs("{\"series\":[{\"labels\":{\"labels\":[", file);
	put_labels(snapshot, file);
	fputs("]},\"samples\":[{\"rawProfile\":\"", file);
	r = put_encoded_pprof(snapshot, file, err);
	/* addresses are of no use to it: names are there */
	fputs("\"}]}],\"normalized\":true}", file);
	return r;
}

int request_write(const struct push_settings *settings, const struct dhat_snapshot *snapshot,
		  uint64_t since_unix_ns, FILE *file, struct dhat_error *err)
{
	const struct dhat_export_options none = { 0 };
	enum push_form form = settings->form;
	int r = 0;

	fprintf(file, MAGIC "url: %s\nquery: ", settings->url);
	if (form == PUSH_PYROSCOPE)
		r = put_query(snapshot, since_unix_ns, file);
	fprintf(file, "\ntype: %s\n\n",
		form == PUSH_PYROSCOPE ? "application/octet-stream"
		: form == PUSH_JSONL   ? "application/x-ndjson"
				       : "application/json");
	if (r)
		return r;
	switch (form) {
	case PUSH_PYROSCOPE:
		return write_pprof(snapshot, file, err);
	case PUSH_CONNECT:
		return put_connect(snapshot, file, err);
	case PUSH_PARCA:
		return put_parca(snapshot, file, err);
	case PUSH_JSONL:
		return dhat_jsonl_exporter.write(snapshot, &none, file, err);
	case PUSH_FORM_OF_URL:
	case PUSH_FORMS:
		break;
	}
	return -EINVAL;
}

/* ---- read back ----------------------------------------------------------------------------- */

static bool is_next(FILE *file, const char *wanted)
{
	char line[32];

	return fgets(line, sizeof(line), file) && strcmp(line, wanted) == 0;
}

/* What is behind `begin` on the next line. */
static bool read_value(FILE *file, const char *begin, size_t room, char *ret)
{
	char line[PUSH_QUERY_CHARS + 16];
	size_t length, skipped = strlen(begin);

	if (!fgets(line, sizeof(line), file) || strncmp(line, begin, skipped))
		return false;
	length = strcspn(line, "\n");
	if (line[length] != '\n' || length - skipped >= room)
		return false;
	memcpy(ret, line + skipped, length - skipped);
	ret[length - skipped] = '\0';
	return true;
}

void request_url(const char *path, char ret[PUSH_URL_CHARS])
{
	_cleanup_fclose_ FILE *file = fopen(path, "re");

	if (!file || !is_next(file, MAGIC) || !read_value(file, "url: ", PUSH_URL_CHARS, ret))
		*ret = '\0';
}

int request_open(const char *path, struct request *ret)
{
	_cleanup_fclose_ FILE *file = fopen(path, "re");
	struct stat st;

	if (!file || fstat(fileno(file), &st))
		return -errno;
	if (!S_ISREG(st.st_mode) || !is_next(file, MAGIC))
		return -EINVAL;
	/* of the URL ours is the one that counts: that in the file is for people */
	if (!read_value(file, "url: ", sizeof(ret->query), ret->query) ||
	    !read_value(file, "query: ", sizeof(ret->query), ret->query) ||
	    !read_value(file, "type: ", sizeof(ret->type), ret->type) || !is_next(file, "\n"))
		return -EINVAL;
	ret->begin = ftell(file);
	if (ret->begin < 0 || st.st_size < ret->begin)
		return -EINVAL;
	ret->size = st.st_size - ret->begin;
	ret->body = take_ptr(file);
	return 0;
}
