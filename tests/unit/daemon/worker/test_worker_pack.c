/* worker_pack: a survey comes out as it went in, and shortened bytes are refused. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "daemon/object/sites/surveyor.h"
#include "daemon/worker/worker_pack.h"
#include "proto/base/cleanup.h"

DEFINE_CLEANUP_PTR(struct survey *, survey_free)
#define _cleanup_survey_ _cleanup_(survey_free_ptr)

static const char libc[] = "/lib/x86_64-linux-gnu/libc.so.6";

/* With all there is to be asked. */
static struct survey *look_at(const char *path)
{
	_cleanup_close_ int fd = open(path, O_RDONLY | O_CLOEXEC);
	char named[] = "alloc:libc.so.6:malloc(size=arg1)",
	     none[] = "free:test_worker_pack:none(ptr=arg1)";
	char *customs[] = { named, none, NULL };
	const struct survey_question question = {
		.path = path,
		.customs = customs,
		.use_exit_probes = true,
		.may_execute = true,
		.use_result_sites = true,
		.wants_mappers = true,
		.wants_candidates = true,
	};
	struct survey *survey = NULL;
	struct dhat_error err = { 0 };

	assert_true(fd >= 0);
	assert_int_equal(survey_make(fd, &question, &survey, &err), 0);
	return survey;
}

static void compare_sites(const struct sites *a, const struct sites *b)
{
	assert_int_equal(a->count, b->count);
	for (size_t i = 0; i < a->count; i++) {
		struct site x = a->list[i], y = b->list[i];

		assert_string_equal(x.function, y.function);
		assert_int_equal(x.exit_count, y.exit_count);
		for (size_t j = 0; j < x.exit_count; j++)
			assert_true(x.exits[j].file_offset == y.exits[j].file_offset &&
				    x.exits[j].result_reg == y.exits[j].result_reg &&
				    x.exits[j].byte == y.exits[j].byte &&
				    !memcmp(&x.exits[j].by_us, &y.exits[j].by_us,
					    sizeof(x.exits[j].by_us)));
		assert_memory_equal(&x.by_us, &y.by_us, sizeof(x.by_us));
		assert_int_equal(x.result_count, y.result_count);
		if (x.result_count)
			assert_memory_equal(x.results, y.results,
					    x.result_count * sizeof(*x.results));
		assert_string_equal(x.allocator, y.allocator);
		assert_string_equal(x.instruction, y.instruction);
		assert_string_equal(x.note, y.note);
		assert_memory_equal(x.arg_reg, y.arg_reg, sizeof(x.arg_reg));
		assert_true(x.role == y.role && x.has_header == y.has_header &&
			    x.is_unknown == y.is_unknown && x.is_refused == y.is_refused &&
			    x.returns == y.returns && x.byte == y.byte &&
			    x.sp_words == y.sp_words && x.is_emulated == y.is_emulated &&
			    x.is_repeated == y.is_repeated);
		assert_true(x.function_vaddr == y.function_vaddr &&
			    x.function_offset == y.function_offset &&
			    x.function_bytes == y.function_bytes && x.vaddr == y.vaddr &&
			    x.file_offset == y.file_offset);
	}
}

static void compare_descs(const struct object_desc *a, const struct object_desc *b)
{
	assert_int_equal(a->elf_class, b->elf_class);
	assert_int_equal(a->machine, b->machine);
	assert_true(a->is_program == b->is_program && a->is_static == b->is_static &&
		    a->has_symtab == b->has_symtab && a->is_go == b->is_go);
	assert_int_equal(a->makers, b->makers);
	assert_int_equal(a->entry_count, b->entry_count);
	assert_memory_equal(a->entries, b->entries, sizeof(a->entries));
	assert_int_equal(a->build_id_size, b->build_id_size);
	assert_memory_equal(a->build_id, b->build_id, sizeof(a->build_id));
	assert_string_equal(a->soname, b->soname);
	assert_string_equal(a->libc_version, b->libc_version);
	assert_string_equal(a->malloc_version, b->malloc_version);
	assert_int_equal(a->copier, b->copier);
	assert_string_equal(a->copier_name, b->copier_name);
	assert_int_equal(a->segment_count, b->segment_count);
	for (size_t i = 0; i < a->segment_count; i++)
		assert_memory_equal(&a->segments[i], &b->segments[i], sizeof(a->segments[i]));
}

static void compare(const struct survey *a, const struct survey *b)
{
	compare_descs(&a->desc, &b->desc);
	compare_sites(&a->allocators, &b->allocators);
	compare_sites(&a->mappers, &b->mappers);
	compare_sites(&a->customs, &b->customs);
	compare_sites(&a->candidates, &b->candidates);
	assert_int_equal(a->hidden, b->hidden);
	assert_int_equal(a->customs_error, b->customs_error);
	assert_int_equal(a->customs_why.code, b->customs_why.code);
	assert_string_equal(a->customs_why.message, b->customs_why.message);
}

static int unpack(const struct wire_writer *from, size_t size, struct survey **ret)
{
	struct wire_reader reader = { .data = from->data, .size = size };

	return pack_get_survey(&reader, ret);
}

static void test_survey(void **state)
{
	char self[4096] = "";
	const char *const paths[] = { libc, "/usr/lib/x86_64-linux-gnu/libtcmalloc.so.4", self };

	assert_true(readlink("/proc/self/exe", self, sizeof(self) - 1) > 0);
	for (size_t p = 0; p < ARRAY_SIZE(paths); p++) {
		_cleanup_survey_ struct survey *before = look_at(paths[p]), *after = NULL;
		struct wire_writer writer = { 0 };

		pack_put_survey(&writer, before);
		assert_false(writer.is_failed);
		assert_int_equal(unpack(&writer, writer.size, &after), 0);
		compare(before, after);
		for (size_t size = 0; size < writer.size; size += 1 + size / 50) {
			struct survey *none = NULL;

			assert_true(unpack(&writer, size, &none) < 0);
			assert_null(none);
		}
		wire_writer_deinit(&writer);
	}
}

/* A worker that was taken over may answer anything, but not beyond what it was asked. */
static void test_second_looks(void **state)
{
	const struct closer_pair pair = { 0x1000, 64, 0x2000, 32 };
	const struct closer_span head = { 0x1000, 0x1040 }, image = { 0x5000, 0x6000 };
	const struct closer_question question = { &pair, &head, &image, 1, 1, 1 };
	struct closer_question asked;
	struct wire_writer writer = { 0 };
	struct wire_reader reader;

	pack_put_closer_question(&writer, &question);
	reader = (struct wire_reader){ .data = writer.data, .size = writer.size };
	assert_int_equal(pack_get_closer_question(&reader, &asked), 0);
	assert_memory_equal(asked.pairs, &pair, sizeof(pair));
	assert_int_equal(asked.images->end, 0x6000);
	wire_writer_deinit(&writer);
	for (int wrong = 0; wrong < 5; wrong++) {
		struct closer_place place = { wrong == 1 ? 64 : 56, wrong == 2 ? 33 : 32,
					      wrong == 3 ? 0x6000 : 0x5008 };
		struct closer_head words = { .words = { [7] = wrong == 4 ? 0x1000 : 0x5fff } };
		const struct closer_answer answer = { &place, &words, 1, 1 };
		struct closer_answer got = { 0 };

		writer = (struct wire_writer){ 0 };
		pack_put_closer(&writer, &answer);
		reader = (struct wire_reader){ .data = writer.data, .size = writer.size };
		assert_int_equal(pack_get_closer(&reader, &question, &got), wrong ? -EBADMSG : 0);
		if (!wrong)
			assert_int_equal(got.places[0].at, 56);
		closer_answer_deinit(&got);
		reader = (struct wire_reader){ .data = writer.data, .size = writer.size - 1 };
		assert_int_equal(pack_get_closer(&reader, &question, &got), -EBADMSG);
		wire_writer_deinit(&writer);
	}
}

/* What a file is asked for is answered, and no more: no code travels. */
static void test_what_is_found(void **state)
{
	_cleanup_survey_ struct survey *survey = look_at(libc);
	_cleanup_close_ int fd = open(libc, O_RDONLY | O_CLOEXEC);
	_cleanup_close_ int other = open("/proc/self/exe", O_RDONLY | O_CLOEXEC);
	struct wire_writer writer = { 0 };

	assert_true(survey->allocators.count >= 8);
	assert_true(survey->mappers.count >= 3);
	assert_int_equal(survey->customs.count, 1);
	assert_string_equal(survey->customs.list[0].function, "malloc");
	assert_int_equal(survey->customs_error, 0);
	assert_true(sites_are_of(&survey->allocators, fd));
	assert_true(sites_are_of(&survey->customs, fd));
	assert_false(sites_are_of(&survey->allocators, other));
	survey->allocators.list[0].byte ^= 1;
	assert_false(sites_are_of(&survey->allocators, fd));
	pack_put_survey(&writer, survey);
	assert_in_range(writer.size, 1000, 64 << 10);
	wire_writer_deinit(&writer);
}

static void test_what_is_missing(void **state)
{
	char self[4096] = "";
	struct survey *survey;

	assert_true(readlink("/proc/self/exe", self, sizeof(self) - 1) > 0);
	survey = look_at(self);
	assert_int_equal(survey->customs.count, 0);
	assert_int_equal(survey->customs_error, ENOENT);
	assert_int_equal(survey->customs_why.code, DHAT_EXIT_USAGE);
	assert_non_null(strstr(survey->customs_why.message, "has no code at 'none'"));
	survey_free(survey);
}

/* Whoever has taken the worker over. */
static void expect_refused(void (*lie)(struct survey *survey))
{
	_cleanup_survey_ struct survey *survey = look_at(libc);
	struct wire_writer writer = { 0 };
	struct survey *none = NULL;

	lie(survey);
	pack_put_survey(&writer, survey);
	assert_int_equal(unpack(&writer, writer.size, &none), -EBADMSG);
	assert_null(none);
	wire_writer_deinit(&writer);
}

static void lie_about_role(struct survey *survey)
{
	survey->allocators.list[1].role = DHAT_ROLE_COUNT;
}

static void lie_about_returns(struct survey *survey)
{
	survey->mappers.list[0].returns = SITE_RETURNS_UNKNOWN;
}

static void lie_about_register(struct survey *survey)
{
	survey->customs.list[0].arg_reg[0] = 16;
}

static void lie_about_place(struct survey *survey)
{
	survey->allocators.list[2].file_offset = 1; /* the ELF header: no code */
}

static void lie_about_exit(struct survey *survey)
{
	survey->customs.list[0].exits[0].file_offset = UINT64_MAX;
}

/* Where somebody else's return probe would be written to a wrong place. */
static void lie_about_ret(struct survey *survey)
{
	struct site *site = &survey->customs.list[0];

	assert_int_equal(site->exits[0].by_us.operation, DHAT_OPERATION_RET);
	site->exits[0].file_offset = site->function_offset;
}

static void lie_about_stack(struct survey *survey)
{
	survey->customs.list[0].by_us = survey->customs.list[0].exits[0].by_us;
}

/* It would be read by another tracer, too. */
static void lie_about_argument(struct survey *survey)
{
	survey->allocators.list[1].by_us =
		(struct dhat_instruction){ .operation = DHAT_OPERATION_MOV,
					   .to = survey->allocators.list[1].arg_reg[0] };
	survey->allocators.list[1].returns = SITE_RETURNS_NOTHING;
	survey->allocators.list[1].result_count = survey->allocators.list[1].exit_count = 0;
}

static void lie_about_exits(struct survey *survey)
{
	survey->customs.list[0].returns = SITE_RETURNS_PROBE;
}

static void lie_about_hidden(struct survey *survey)
{
	survey->hidden = 1u << OBJECT_MAKER_COUNT;
}

static void lie_about_copier(struct survey *survey)
{
	survey->desc.copier = COPIER_DOES + 1;
}

static void lie_about_error(struct survey *survey)
{
	survey->customs_error = 5000;
}

static void lie_about_candidates(struct survey *survey)
{
	survey->candidates = survey->mappers; /* but there are no entries */
	survey->mappers = (struct sites){ 0 };
}

static void test_lies(void **state)
{
	expect_refused(lie_about_role);
	expect_refused(lie_about_returns);
	expect_refused(lie_about_register);
	expect_refused(lie_about_place);
	expect_refused(lie_about_exit);
	expect_refused(lie_about_ret);
	expect_refused(lie_about_stack);
	expect_refused(lie_about_argument);
	expect_refused(lie_about_exits);
	expect_refused(lie_about_hidden);
	expect_refused(lie_about_copier);
	expect_refused(lie_about_error);
	expect_refused(lie_about_candidates);
}

static void test_question(void **state)
{
	char one[] = "free:a:b(ptr=arg1)", two[] = "", *customs[] = { one, two, NULL };
	const struct survey_question before = { .path = "/a b",
						.customs = customs,
						.wants_mappers = true };
	struct survey_question after;
	struct wire_writer writer = { 0 };
	struct wire_reader reader;

	pack_put_question(&writer, &before);
	reader = (struct wire_reader){ .data = writer.data, .size = writer.size };
	assert_int_equal(pack_get_question(&reader, &after), 0);
	assert_string_equal(after.path, "/a b");
	assert_string_equal(after.customs[0], one);
	assert_string_equal(after.customs[1], "");
	assert_null(after.customs[2]);
	assert_true(after.wants_mappers && !after.wants_candidates && !after.use_exit_probes);
	pack_free_question(&after);
	for (size_t size = 0; size < writer.size; size++) {
		reader = (struct wire_reader){ .data = writer.data, .size = size };
		assert_int_equal(pack_get_question(&reader, &after), -EBADMSG);
	}
	wire_writer_deinit(&writer);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_survey),	     cmocka_unit_test(test_what_is_found),
		cmocka_unit_test(test_second_looks), cmocka_unit_test(test_what_is_missing),
		cmocka_unit_test(test_lies),	     cmocka_unit_test(test_question),
	};

	return cmocka_run_group_tests_name("worker_pack", tests, NULL, NULL);
}
