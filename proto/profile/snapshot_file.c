#include "snapshot_file.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <zlib.h>

#include "proto/base/cleanup.h"
#include "proto/wire/frame.h"

#define MAGIC "DHATSNAP"
#define HEAD_BYTES 16
#define END_MARK UINT32_MAX

DEFINE_CLEANUP_PTR(struct dhat_snapshot *, dhat_snapshot_free)

/* ---- writing ------------------------------------------------------------------------------- */

/* The stream remembers what failed, and who commits it knows the name of the file. */
static void put(struct dhat_snapshot_writer *writer, const void *bytes, size_t size)
{
	writer->crc = crc32(writer->crc, bytes, size);
	fwrite(bytes, 1, size, writer->file);
}

void dhat_snapshot_writer_init(struct dhat_snapshot_writer *writer, FILE *file)
{
	uint8_t head[HEAD_BYTES] = MAGIC;

	*writer = (struct dhat_snapshot_writer){ .file = file, .crc = crc32(0, NULL, 0) };
	dhat_frame_encode_head(head + 8, DHAT_SNAPSHOT_FILE_VERSION);
	put(writer, head, sizeof(head));
}

int dhat_snapshot_writer_add(struct dhat_snapshot_writer *writer, const Dhat__SnapshotPart *part,
			     struct dhat_error *err)
{
	_cleanup_free_ uint8_t *frame = NULL;
	size_t size = dhat__snapshot_part__get_packed_size(part);

	if (size > DHAT_FRAME_RESPONSE_MAX)
		return dhat_error_set(err, EMSGSIZE, DHAT_EXIT_FAILED,
				      "a part of the snapshot has %zu bytes, too many", size);
	frame = malloc(DHAT_FRAME_HEAD_BYTES + size);
	if (!frame)
		return dhat_error_errno(err, ENOMEM, "cannot write the snapshot");
	dhat_frame_encode_head(frame, size);
	dhat__snapshot_part__pack(part, frame + DHAT_FRAME_HEAD_BYTES);
	put(writer, frame, DHAT_FRAME_HEAD_BYTES + size);
	return 0;
}

void dhat_snapshot_writer_end(struct dhat_snapshot_writer *writer)
{
	uint8_t mark[4];

	dhat_frame_encode_head(mark, END_MARK);
	put(writer, mark, sizeof(mark));
	dhat_frame_encode_head(mark, writer->crc);
	put(writer, mark, sizeof(mark));
}

/* ---- reading ------------------------------------------------------------------------------- */

struct reader {
	FILE *file;
	const char *path;
	unsigned long crc;
};

static int bad(const struct reader *reader, const char *what, struct dhat_error *err)
{
	return dhat_error_set(err, EBADMSG, DHAT_EXIT_BAD_FILE, "%s: %s", reader->path, what);
}

static int unreadable(const struct reader *reader, struct dhat_error *err)
{
	int error = errno;

	return dhat_error_set(err, error, DHAT_EXIT_BAD_FILE, "cannot read %s: %s", reader->path,
			      strerror(error));
}

static int get(struct reader *reader, void *bytes, size_t size, struct dhat_error *err)
{
	if (fread(bytes, 1, size, reader->file) != size) {
		if (ferror(reader->file))
			return unreadable(reader, err);
		return bad(reader, "the file was cut short: fetch or copy it again", err);
	}
	reader->crc = crc32(reader->crc, bytes, size);
	return 0;
}

static int read_head(struct reader *reader, struct dhat_error *err)
{
	uint8_t head[HEAD_BYTES] = { 0 };
	size_t n = fread(head, 1, sizeof(head), reader->file);
	uint32_t version;

	if (ferror(reader->file))
		return unreadable(reader, err);
	if (n != sizeof(head) || memcmp(head, MAGIC, strlen(MAGIC)))
		return bad(reader, "not a snapshot of dhatctl's (.dhat), nor DHAT JSON", err);
	reader->crc = crc32(reader->crc, head, sizeof(head));
	version = dhat_frame_decode_head(head + 8);
	if (version != DHAT_SNAPSHOT_FILE_VERSION)
		return dhat_error_set(err, EBADMSG, DHAT_EXIT_BAD_FILE,
				      "%s: a file of version %u, this program reads version %d: "
				      "use the dhatctl that wrote it",
				      reader->path, version, DHAT_SNAPSHOT_FILE_VERSION);
	return 0;
}

static int read_part(struct reader *reader, uint32_t size, struct dhat_snapshot *snapshot,
		     struct dhat_error *err)
{
	_cleanup_free_ uint8_t *payload = NULL;
	struct dhat_error why = { 0 };
	Dhat__SnapshotPart *part;
	int r;

	if (size > DHAT_FRAME_RESPONSE_MAX)
		return bad(reader, "the file is damaged: a part is too long", err);
	payload = malloc(size ? size : 1);
	if (!payload)
		return dhat_error_errno(err, ENOMEM, "cannot read %s", reader->path);
	r = get(reader, payload, size, err);
	if (r < 0)
		return r;
	part = (Dhat__SnapshotPart *)dhat_frame_unpack(&dhat__snapshot_part__descriptor, payload,
						       size);
	if (!part)
		return bad(reader, "the file is damaged: a part cannot be read", err);
	r = dhat_snapshot_add(snapshot, part, &why);
	return r < 0 ? dhat_error_set(err, -r, why.code, "%s: %s", reader->path, why.message) : 0;
}

static int read_end(struct reader *reader, struct dhat_error *err)
{
	unsigned long crc = reader->crc;
	uint8_t mark[4];
	int r;

	r = get(reader, mark, sizeof(mark), err);
	if (r < 0)
		return r;
	if (dhat_frame_decode_head(mark) != (uint32_t)crc)
		return bad(reader, "the file is damaged: its checksum is wrong", err);
	if (fgetc(reader->file) != EOF)
		return bad(reader, "the file is damaged: it goes on behind its end", err);
	return 0;
}

int dhat_snapshot_read(FILE *file, const char *path, struct dhat_snapshot **ret,
		       struct dhat_error *err)
{
	_cleanup_(dhat_snapshot_free_ptr) struct dhat_snapshot *snapshot = NULL;
	struct reader reader = { file, path, crc32(0, NULL, 0) };
	uint8_t size[DHAT_FRAME_HEAD_BYTES];
	int r;

	r = dhat_snapshot_new(&snapshot);
	if (r < 0)
		return dhat_error_errno(err, -r, "cannot read %s", path);
	r = read_head(&reader, err);
	while (r == 0) {
		r = get(&reader, size, sizeof(size), err);
		if (r < 0 || dhat_frame_decode_head(size) == END_MARK)
			break;
		r = read_part(&reader, dhat_frame_decode_head(size), snapshot, err);
	}
	if (r == 0)
		r = read_end(&reader, err);
	if (r == 0 && dhat_snapshot_finish(snapshot, NULL) < 0)
		r = bad(&reader, "the file is damaged: the snapshot in it is not whole", err);
	if (r < 0)
		return r;
	*ret = take_ptr(snapshot);
	return 0;
}
