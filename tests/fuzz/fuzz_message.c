/* Messages from a socket, and .dhat files: a protobuf of any kind, and a whole snapshot, of which a
 * table is made and judged. */
#include "fuzz.h"
#include "proto/profile/snapshot_file.h"
#include "proto/profile/suspects.h"
#include "proto/wire/dhat.pb-c.h"
#include "proto/wire/frame.h"

static void judge(const struct dhat_snapshot *snapshot)
{
	const struct dhat_table_options by = { .style.by = DHAT_BY_LINE };
	struct dhat_suspects suspects;
	struct dhat_rendering *table;

	FUZZ_CHECK(dhat_table_new(snapshot, &by, &table) == 0);
	FUZZ_CHECK(dhat_suspects_find(table, &suspects) == 0);
	FUZZ_CHECK(suspects.suspect_count <= suspects.count &&
		   suspects.count <= table->point_count);
	dhat_suspects_deinit(&suspects);
	dhat_rendering_free(table);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	const ProtobufCMessageDescriptor *kinds[] = { &dhat__request__descriptor,
						      &dhat__response__descriptor,
						      &dhat__snapshot_part__descriptor };
	struct dhat_snapshot *snapshot = NULL;
	struct dhat_error err = {};
	ProtobufCMessage *message;
	FILE *file;
	size_t i;

	for (i = 0; i < sizeof(kinds) / sizeof(kinds[0]); i++) {
		message = dhat_frame_unpack(kinds[i], data, size);
		if (message)
			protobuf_c_message_free_unpacked(message, NULL);
	}
	file = fmemopen((void *)data, size ? size : 1, "r");
	FUZZ_CHECK(file);
	if (dhat_snapshot_read(file, "input", &snapshot, &err) == 0)
		judge(snapshot);
	else
		FUZZ_CHECK(err.code != DHAT_EXIT_OK && err.message[0]);
	dhat_snapshot_free(snapshot);
	fclose(file);
	return 0;
}
