/* What a worker that was taken over may send: surveys, tables, names, scans, second looks. */
#include "daemon/object/dwarf/names.h"
#include "daemon/object/sites/hidden.h"
#include "daemon/source/uprobes.h"
#include "daemon/worker/worker_pack.h"
#include "fuzz.h"
#include "proto/base/cleanup.h"
#include "tests/unit/table_find.h"

static void check_sites(const struct sites *sites)
{
	FUZZ_CHECK(sites->count <= SITES_MAX);
	for (size_t i = 0; i < sites->count; i++) {
		const struct site *site = &sites->list[i];

		FUZZ_CHECK(site->function && site->role < DHAT_ROLE_COUNT);
		FUZZ_CHECK(memchr(site->allocator, 0, sizeof(site->allocator)));
		FUZZ_CHECK(memchr(site->instruction, 0, sizeof(site->instruction)));
		FUZZ_CHECK(memchr(site->note, 0, sizeof(site->note)));
		FUZZ_CHECK(site->arg_reg[0] < 16 && site->arg_reg[1] < 16 && site->arg_reg[2] < 16);
		FUZZ_CHECK(site->exit_count <= SITE_MAX_EXITS);
		FUZZ_CHECK(!site->exit_count || site->returns == SITE_RETURNS_EXITS);
	}
}

static void check_survey(const struct survey *survey)
{
	struct uprobe_site *places = NULL;
	char text[HIDDEN_TEXT_CHARS];
	size_t count = 0;

	check_sites(&survey->allocators);
	check_sites(&survey->mappers);
	check_sites(&survey->customs);
	check_sites(&survey->candidates);
	FUZZ_CHECK(memchr(survey->customs_why.message, 0, sizeof(survey->customs_why.message)));
	for (size_t i = 0; i < survey->desc.entry_count; i++)
		for (enum conduct_role role = 0; role < CONDUCT_ROLES; role++)
			FUZZ_CHECK(!survey_candidate(survey, i, role, true) ==
				   !survey->candidates.count);
	for (unsigned maker = 0; maker < OBJECT_MAKER_COUNT; maker++)
		hidden_describe(&survey->desc, "/x", maker, text, sizeof(text));
	FUZZ_CHECK(uprobes_place(&survey->allocators, 0, 0, &places, &count) == 0);
	free(places);
	sites_are_of(&survey->allocators, -1);
}

#define BLOCKS 3

static void check_scan(const uint8_t *data, size_t size)
{
	const struct closer_pair pairs[] = { { 0x1000, 64, 0x2000, 32 } };
	const struct closer_span heads[] = { { 0x1000, 0x1040 } },
				 images[] = { { 0x5000, 0x6000 } };
	const struct closer_question question = { pairs, heads, images, 1, 1, 1 };
	struct wire_reader reader = { .data = data, .size = size };
	struct closer_question asked;
	struct closer_answer answer = { 0 };
	const struct reach_limits limits = { 100, 10 };
	struct reach_found found = { 0 };

	if (pack_get_found(&reader, BLOCKS, &limits, &found) == 0)
		FUZZ_CHECK(found.block_count == BLOCKS && found.edge_count <= limits.max_edges &&
			   found.root_count <= limits.max_roots);
	reader = (struct wire_reader){ .data = data, .size = size };
	if (pack_get_closer(&reader, &question, &answer) == 0) {
		FUZZ_CHECK(answer.places[0].at == CLOSER_NOWHERE || answer.places[0].at < 64);
		closer_answer_deinit(&answer);
	}
	reader = (struct wire_reader){ .data = data, .size = size };
	if (pack_get_closer_question(&reader, &asked) == 0)
		FUZZ_CHECK(asked.pair_count <= CLOSER_MAX_QUESTIONS);
}

/* The arrays of what a scan found come by shared memory. */
static void check_found(const uint8_t *data, size_t size)
{
	struct {
		uint32_t edges[4], root_edges[2];
		struct reach_root_run runs[2];
		uint8_t degrees[BLOCKS], root_gaps[2];
	} arrays;
	struct reach_found found = { .degrees = arrays.degrees,
				     .edges = arrays.edges,
				     .root_edges = arrays.root_edges,
				     .root_gaps = arrays.root_gaps,
				     .runs = arrays.runs,
				     .block_count = BLOCKS,
				     .edge_count = ARRAY_SIZE(arrays.edges),
				     .root_count = ARRAY_SIZE(arrays.root_edges),
				     .run_count = ARRAY_SIZE(arrays.runs) };
	struct reach_root_walk walk = { 0 };
	struct reach_root root;
	uint32_t roots = 0;

	if (size < sizeof(arrays))
		return;
	memcpy(&arrays, data, sizeof(arrays));
	if (!reach_found_is_sound(&found, BLOCKS))
		return;
	FUZZ_CHECK(reach_found_index(&found) == 0);
	for (uint32_t i = 0; i < BLOCKS; i++) {
		const struct reach_span edges = reach_edges_of(&found, i);

		FUZZ_CHECK(edges.first <= edges.end && edges.end <= found.edge_count);
	}
	free(found.firsts);
	for (size_t i = 0; i < found.edge_count; i++)
		FUZZ_CHECK(reach_target(arrays.edges[i]) < BLOCKS);
	for (; reach_next_root(&found, &walk, &root); roots++) {
		FUZZ_CHECK(reach_target(root.edge) < BLOCKS);
		FUZZ_CHECK(root.name < REACH_CLASSES && root.name != REACH_KERNEL);
	}
	FUZZ_CHECK(roots == found.root_count);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct wire_reader reader = { .data = data, .size = size };
	struct survey_question question = { 0 };
	struct survey *survey = NULL;
	struct cfi_table *table = NULL;
	struct names *names = NULL;
	uint64_t i;

	if (pack_get_survey(&reader, &survey) == 0) {
		check_survey(survey);
		survey_free(survey);
	}
	reader = (struct wire_reader){ .data = data, .size = size };
	if (pack_get_question(&reader, &question) == 0) {
		FUZZ_CHECK(question.path && question.customs);
		pack_free_question(&question);
	}
	reader = (struct wire_reader){ .data = data, .size = size };
	if (pack_get_table(&reader, 1000, &table) == 0) {
		for (i = 0; i < 1 << 20; i += 509)
			cfi_table_find(table, table->first_page_vaddr + i);
		cfi_table_free(table);
	}
	reader = (struct wire_reader){ .data = data, .size = size };
	if (names_get(&reader, 3, &names) == 0) {
		for (i = 0; i < names->location_count; i++) {
			FUZZ_CHECK(names->locations[i].function < names->texts.count);
			FUZZ_CHECK(names->locations[i].file < names->texts.count);
		}
		names_free(names);
	}
	check_scan(data, size);
	check_found(data, size);
	return 0;
}
