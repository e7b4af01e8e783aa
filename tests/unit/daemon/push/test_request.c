/* request: each form as its reader documents it, and read back as it was written. */
#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>
#include <json-c/json.h>

#include "daemon/push/request.h"
#include "proto/export/export.h"
#include "tests/unit/folder.h"
#include "tests/unit/sample.h"

#define SINCE_NS 1700000030000000000ull /* of the sample, which is taken 60 s later */

static char url[] = "http://h/ingest";

struct written {
	struct request request;
	char *body; /* whole, with a NUL behind it */
};

static void put(enum push_form form, struct written *ret)
{
	const struct push_settings settings = { .url = url, .form = form };
	struct dhat_snapshot *snapshot = sample_snapshot();
	char path[128];
	FILE *file;

	snprintf(path, sizeof(path), "%s/request", folder);
	file = fopen(path, "w");
	assert_int_equal(request_write(&settings, snapshot, SINCE_NS, file, NULL), 0);
	fclose(file);
	dhat_snapshot_free(snapshot);
	memset(ret, 0, sizeof(*ret));
	assert_int_equal(request_open(path, &ret->request), 0);
	ret->body = calloc(1, ret->request.size + 1);
	assert_int_equal(fread(ret->body, 1, ret->request.size, ret->request.body),
			 ret->request.size);
	assert_int_equal(fgetc(ret->request.body), EOF);
	fclose(ret->request.body);
}

static char *exported(const struct dhat_exporter *exporter, size_t *ret_size)
{
	const struct dhat_export_options options = { .metric = DHAT_LIVE_BYTES };
	struct dhat_snapshot *snapshot = sample_snapshot();
	char *bytes = NULL;
	FILE *file = open_memstream(&bytes, ret_size);

	assert_int_equal(exporter->write(snapshot, &options, file, NULL), 0);
	fclose(file);
	dhat_snapshot_free(snapshot);
	return bytes;
}

static void assert_same_bytes(const char *body, size_t size, const struct dhat_exporter *exporter)
{
	size_t wanted_size = 0;
	char *wanted = exported(exporter, &wanted_size);

	assert_int_equal(size, wanted_size);
	assert_memory_equal(body, wanted, size);
	free(wanted);
}

static void test_pyroscope(void **state)
{
	struct written written;

	put(PUSH_PYROSCOPE, &written);
	assert_string_equal(written.request.query,
			    "name=service%7Bhostname%3Dhost%2Cpid%3D4711%7D&from=1700000030"
			    "&until=1700000090&format=pprof&spyName=dhatd");
	assert_string_equal(written.request.type, "application/octet-stream");
	assert_same_bytes(written.body, written.request.size, &dhat_pprof_exporter);
	free(written.body);
}

static void test_jsonl(void **state)
{
	struct written written;

	put(PUSH_JSONL, &written);
	assert_string_equal(written.request.query, "");
	assert_string_equal(written.request.type, "application/x-ndjson");
	assert_same_bytes(written.body, written.request.size, &dhat_jsonl_exporter);
	free(written.body);
}

static struct json_object *get(struct json_object *object, const char *key)
{
	struct json_object *value = NULL;

	if (!json_object_object_get_ex(object, key, &value))
		fail_msg("%s is missing", key);
	return value;
}

static struct json_object *only(struct json_object *list)
{
	assert_int_equal(json_object_array_length(list), 1);
	return json_object_array_get_idx(list, 0);
}

static const char *label(struct json_object *labels, const char *name)
{
	for (size_t i = 0; i < json_object_array_length(labels); i++) {
		struct json_object *pair = json_object_array_get_idx(labels, i);

		if (strcmp(json_object_get_string(get(pair, "name")), name) == 0)
			return json_object_get_string(get(pair, "value"));
	}
	return "(none)";
}

/* RFC 4648, 4; ret has room for three quarters of the text. */
static size_t decode(const char *text, uint8_t *ret)
{
	static const char digits[] =
		"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
	size_t length = strlen(text), digit_count = strcspn(text, "=");
	uint32_t bits = 0;

	assert_int_equal(length % 4, 0);
	assert_true(length - digit_count <= 2);
	for (size_t i = 0, used = 0; i < digit_count; i++) {
		const char *digit = strchr(digits, text[i]);

		assert_non_null(digit);
		bits = bits << 6 | (uint32_t)(digit - digits);
		if (i % 4) /* 12, 18, 24 bits are there: a byte more */
			ret[used++] = bits >> (6 - 2 * (i % 4)) & 0xff;
	}
	return length / 4 * 3 - (length - digit_count);
}

static void assert_encoded(struct json_object *sample)
{
	const char *text = json_object_get_string(get(sample, "rawProfile"));
	uint8_t *bytes = malloc(strlen(text) + 1);
	size_t size = decode(text, bytes);

	assert_same_bytes((const char *)bytes, size, &dhat_pprof_exporter);
	free(bytes);
}

static void test_connect(void **state)
{
	struct json_object *whole, *series, *sample;
	struct written written;
	const char *id;

	put(PUSH_CONNECT, &written);
	assert_string_equal(written.request.type, "application/json");
	whole = json_tokener_parse(written.body);
	series = only(get(whole, "series"));
	assert_string_equal(label(get(series, "labels"), "__name__"), "memory");
	assert_string_equal(label(get(series, "labels"), "service_name"), "service");
	assert_string_equal(label(get(series, "labels"), "hostname"), "host");
	assert_string_equal(label(get(series, "labels"), "pid"), "4711");
	assert_string_equal(label(get(series, "labels"), "__delta__"), "false");
	sample = only(get(series, "samples"));
	id = json_object_get_string(get(sample, "ID"));
	assert_int_equal(strlen(id), 36);
	assert_true(id[8] == '-' && id[13] == '-' && id[14] == '4' && id[18] == '-' &&
		    id[19] == '8' && id[23] == '-');
	assert_encoded(sample);
	json_object_put(whole);
	free(written.body);
}

static void test_parca(void **state)
{
	struct json_object *whole, *series, *labels;
	struct written written;

	put(PUSH_PARCA, &written);
	assert_string_equal(written.request.type, "application/json");
	whole = json_tokener_parse(written.body);
	assert_true(json_object_get_boolean(get(whole, "normalized")));
	series = only(get(whole, "series"));
	labels = get(get(series, "labels"), "labels");
	assert_string_equal(label(labels, "__name__"), "memory");
	assert_string_equal(label(labels, "service_name"), "service");
	assert_string_equal(label(labels, "__delta__"), "(none)");
	assert_encoded(only(get(series, "samples")));
	json_object_put(whole);
	free(written.body);
}

/* A name is the target's choice: nothing in it may end a label, a query or a line. */
static void test_hostile_name(void **state)
{
	struct dhat_snapshot *snapshot = sample_snapshot();
	const struct push_settings settings = { .url = url, .form = PUSH_PYROSCOPE };
	Dhat__Target *target = snapshot->head->target;
	char *text = NULL;
	const char *query;
	size_t size, name_length;
	FILE *file = open_memstream(&text, &size);

	free(target->command);
	target->command = strdup("./a{b=\"c\",d}&x\n\ntype:");
	assert_int_equal(request_write(&settings, snapshot, 0, file, NULL), 0);
	fclose(file);
	query = strstr(text, "query: name=");
	assert_ptr_equal(query, text + strlen("dhatd-push 1\nurl: http://h/ingest\n"));
	query += strlen("query: name=");
	name_length = strspn(query, "abcdefghijklmnopqrstuvwxyz_.-/");
	assert_true(name_length > 3);
	assert_int_equal(strncmp(query + name_length, "%7Bhostname%3Dhost%2C", 21), 0);
	assert_int_equal(strncmp(strchr(query, '\n'), "\ntype: ", 7), 0);
	free(text);
	dhat_snapshot_free(snapshot);
}

static void assert_none(const char *text)
{
	struct request request = { 0 };
	char path[128];
	FILE *file;

	snprintf(path, sizeof(path), "%s/none", folder);
	file = fopen(path, "w");
	fputs(text, file);
	fclose(file);
	assert_int_equal(request_open(path, &request), -EINVAL);
	assert_null(request.body);
}

static void test_no_requests(void **state)
{
	static const char *const texts[] = {
		"",
		"dhatd-push 2\nurl: u\nquery: \ntype: a\n\n",
		"dhatd-push 1\n",
		"dhatd-push 1\nurl: u\nquery: a\n",
		"dhatd-push 1\nurl: u\nquery: a\ntype: b",
		"dhatd-push 1\nurl: u\nquery: a\ntype: b\n",
		"dhatd-push 1\nquery: a\ntype: b\n\n",
		"dhatd-push 1\nurl: u\nquery: a\ntype: "
		"0123456789012345678901234567890123456789012345678901234567890123456789\n\n",
	};

	for (size_t i = 0; i < sizeof(texts) / sizeof(*texts); i++)
		assert_none(texts[i]);
}

#define TEST(f) cmocka_unit_test_setup_teardown(f, make_folder, remove_folder)

int main(void)
{
	const struct CMUnitTest tests[] = {
		TEST(test_pyroscope), TEST(test_jsonl),	       TEST(test_connect),
		TEST(test_parca),     TEST(test_hostile_name), TEST(test_no_requests),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
