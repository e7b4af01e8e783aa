/* Each format says that a sample is one, and what its figures lie between where it has room; what
 * can be read back says the same again. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include <json-c/json.h>
#include <zlib.h>

#include "proto/base/cleanup.h"
#include "proto/export/export.h"
#include "proto/export/pprof.pb-c.h"
#include "proto/import/import.h"
#include "proto/profile/estimate.h"
#include "proto/profile/verdict.h"
#include "tests/unit/built_snapshot.h"
#include "tests/unit/exported.h"

DEFINE_CLEANUP_PTR(struct dhat_snapshot *, dhat_snapshot_free)
DEFINE_CLEANUP_PTR(struct json_object *, json_object_put)

#define R 4096

static const struct built_stack stacks[] = {
	{ .frames = { "load@/src/app/load.c:1", "main@/src/app/main.c:1" },
	  .live_bytes = 100 * R,
	  .live_blocks = 2000,
	  .total_bytes = 100 * R,
	  .total_blocks = 2000,
	  .peak_bytes = 100 * R,
	  .peak_blocks = 2000,
	  .seen_bytes = 5000,
	  .variance = 100. * R * R },
	{ .frames = { "keep@/src/app/keep.c:1" },
	  .live_bytes = 900000,
	  .live_blocks = 1,
	  .total_bytes = 900000,
	  .total_blocks = 1,
	  .peak_bytes = 900000,
	  .peak_blocks = 1,
	  .seen_bytes = 900000 },
	BUILT_END,
};

static struct dhat_snapshot *sample(void)
{
	return built_snapshot(&(struct built_watch){ .verdict = "sampled", .sample_bytes = R },
			      stacks);
}

static void test_words(void **state)
{
	static const struct {
		const struct dhat_exporter *exporter;
		const char *words[3];
	} formats[] = {
		{ &dhat_json_exporter,
		  { "[estimates: 1 block per 4.0 KiB was recorded]", "live_bytes_interval",
		    "sampled" } },
		{ &dhat_jsonl_exporter,
		  { "\"sample_bytes\":4096", "\"live_bytes_interval\":[",
		    "\"unseen_bytes\":12288" } },
		{ &dhat_html_exporter,
		  { "\"verdict\":\"sampled\"", "\"live-bytes\":{\"all\":[", "\"low\":[" } },
		{ &dhat_massif_exporter, { "sampled; estimates, at 95%:", "live", "" } },
		{ &dhat_callgrind_exporter, { "Verdict: sampled; estimates, at 95%:", "", "" } },
		{ &dhat_speedscope_exporter, { "pid 4711; estimates, at 95%:", "", "" } },
	};
	_cleanup_(dhat_snapshot_free_ptr) struct dhat_snapshot *snapshot = sample();

	for (size_t i = 0; i < ARRAY_SIZE(formats); i++) {
		size_t size;
		_cleanup_free_ char *text = export_as(formats[i].exporter, snapshot, &size);

		for (size_t j = 0; j < ARRAY_SIZE(formats[i].words); j++)
			if (!strstr(text, formats[i].words[j]))
				fail_msg("%s lacks %s", formats[i].exporter->name,
					 formats[i].words[j]);
	}
}

/* As Go's and tcmalloc's: values are scaled, the period is the rate. */
static void test_pprof(void **state)
{
	_cleanup_(dhat_snapshot_free_ptr) struct dhat_snapshot *snapshot = sample();
	size_t size;
	_cleanup_free_ char *text = export_as(&dhat_pprof_exporter, snapshot, &size);
	uint8_t bytes[16384];
	z_stream stream = { .next_in = (uint8_t *)text,
			    .avail_in = size,
			    .next_out = bytes,
			    .avail_out = sizeof(bytes) };
	bool is_told = false;
	Pprof__Profile *profile;

	assert_int_equal(inflateInit2(&stream, 16 + MAX_WBITS), Z_OK);
	assert_int_equal(inflate(&stream, Z_FINISH), Z_STREAM_END);
	inflateEnd(&stream);
	profile = pprof__profile__unpack(NULL, sizeof(bytes) - stream.avail_out, bytes);
	assert_non_null(profile);
	assert_int_equal(profile->period, R);
	for (size_t i = 0; i < profile->n_comment; i++)
		is_told |= !strncmp(profile->string_table[profile->comment[i]],
				    "estimates, at 95%: ", 19);
	assert_true(is_told);
	pprof__profile__free_unpacked(profile, NULL);
}

static void expect_same(const struct dhat_snapshot *snapshot, const struct dhat_snapshot *back,
			bool has_evidence)
{
	struct dhat_evidence before, after;
	struct dhat_interval a, b;

	assert_int_equal(back->head->sample_bytes, R);
	assert_int_equal(dhat_verdict_of(back->end->verdict), DHAT_SAMPLED);
	assert_int_equal(back->end->totals->live_bytes, snapshot->end->totals->live_bytes);
	dhat_evidence_of_snapshot(snapshot, &before);
	dhat_evidence_of_snapshot(back, &after);
	a = dhat_interval_of(R, &before, DHAT_ESTIMATED_LIVE, 0);
	b = dhat_interval_of(R, &after, DHAT_ESTIMATED_LIVE, 0);
	if (has_evidence)
		assert_memory_equal(&before, &after, sizeof(before));
	assert_true(b.low <= a.low && b.high >= a.high);
}

static void test_reading_back(void **state)
{
	static const struct dhat_exporter *const exporters[] = { &dhat_jsonl_exporter,
								 &dhat_json_exporter,
								 &dhat_lossless_exporter };

	for (size_t i = 0; i < ARRAY_SIZE(exporters); i++) {
		_cleanup_(dhat_snapshot_free_ptr) struct dhat_snapshot *snapshot = sample(),
								       *back = NULL;
		size_t size;
		_cleanup_free_ char *text = export_as(exporters[i], snapshot, &size);
		_cleanup_fclose_ FILE *file = fmemopen(text, size, "r");

		assert_int_equal(dhat_import(file, "x", &back, NULL), 0);
		/* DHAT JSON has no place for it in its points: E3 */
		expect_same(snapshot, back, exporters[i] != &dhat_json_exporter);
	}
}

/* Of what is exact not a word. */
static void test_exact_profiles_have_none(void **state)
{
	_cleanup_(dhat_snapshot_free_ptr) struct dhat_snapshot *snapshot =
		built_snapshot(&(struct built_watch){ 0 }, stacks);
	static const struct dhat_exporter *const exporters[] = {
		&dhat_jsonl_exporter, &dhat_json_exporter, &dhat_massif_exporter,
		&dhat_callgrind_exporter, &dhat_speedscope_exporter
	};

	for (size_t i = 0; i < ARRAY_SIZE(exporters); i++) {
		size_t size;
		_cleanup_free_ char *text = export_as(exporters[i], snapshot, &size);

		assert_null(strstr(text, "_interval"));
		assert_null(strstr(text, "estimates"));
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_words),
		cmocka_unit_test(test_pprof),
		cmocka_unit_test(test_reading_back),
		cmocka_unit_test(test_exact_profiles_have_none),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
