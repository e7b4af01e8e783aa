#pragma once
/* snapshot_file: a snapshot in a .dhat file, without loss.
 *
 *   "DHATSNAP"  u32 version  u32 zero
 *   frames as on the socket (proto/wire/frame.h), each one SnapshotPart
 *   a frame of length 0xffffffff in place of a length: the end
 *   u32 CRC-32 (as zlib's) of everything before it
 *
 * Numbers in little endian. A file that was cut short, or went wrong on its way, is noticed.
 */
#include <stdio.h>

#include "snapshot.h"

#define DHAT_SNAPSHOT_FILE_VERSION 1

struct dhat_snapshot_writer { /* the caller has the storage */
	FILE *file;
	unsigned long crc;
};

/* Write the head, parts one by one, the end. Errors of the stream show when it is committed
 * (dhat_output_commit), those here are of the content. */
void dhat_snapshot_writer_init(struct dhat_snapshot_writer *writer, FILE *file);
int dhat_snapshot_writer_add(struct dhat_snapshot_writer *writer, const Dhat__SnapshotPart *part,
			     struct dhat_error *err);
void dhat_snapshot_writer_end(struct dhat_snapshot_writer *writer);

/* A whole snapshot. path: for messages. */
int dhat_snapshot_read(FILE *file, const char *path, struct dhat_snapshot **ret,
		       struct dhat_error *err);
