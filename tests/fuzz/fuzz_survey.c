/* Where a file that lies would be probed: whatever it says, the daemon can use the answer. */
#include "daemon/object/sites/surveyor.h"
#include "daemon/worker/worker_pack.h"
#include "fuzz.h"

static void check_travel(const struct survey *survey)
{
	struct wire_writer writer = { 0 };
	struct wire_reader reader;
	struct survey *there = NULL;

	pack_put_survey(&writer, survey);
	FUZZ_CHECK(!writer.is_failed);
	reader = (struct wire_reader){ .data = writer.data, .size = writer.size };
	FUZZ_CHECK(pack_get_survey(&reader, &there) == 0);
	survey_free(there);
	wire_writer_deinit(&writer);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	static char named[] = "free:file:free(ptr=arg1)",
		    placed[] = "alloc:file+0x401000(size=arg1)";
	static char *const customs[] = { named, placed, NULL };
	const struct survey_question question = {
		.path = "/file",
		.customs = size & 1 ? customs : NULL,
		.use_exit_probes = size & 2,
		.wants_mappers = true,
		.wants_candidates = true,
	};
	struct survey *survey = NULL;
	struct dhat_error err = { 0 };
	int fd = fuzz_file(data, size);

	if (survey_make(fd, &question, &survey, &err) < 0) {
		FUZZ_CHECK(!survey && err.code != DHAT_EXIT_OK && err.message[0]);
		return 0;
	}
	check_travel(survey);
	FUZZ_CHECK(sites_are_of(&survey->allocators, fd));
	FUZZ_CHECK(sites_are_of(&survey->mappers, fd));
	FUZZ_CHECK(sites_are_of(&survey->customs, fd));
	FUZZ_CHECK(sites_are_of(&survey->candidates, fd));
	survey_free(survey);
	return 0;
}
