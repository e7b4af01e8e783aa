#pragma once
/* request: a profile as the request that carries it, in a file of the queue.
 *
 * Five lines ("dhatd-push 1", "url: …", "query: …", "type: …", ""), and the body. Whatever a server
 * of that form needs is in there but its address and the token, so that it may be sent by another
 * dhatd, later. Wire forms, as documented in 2026:
 *
 * - pyroscope: query name=PROGRAM{…}, from, until (s since 1970), format=pprof; the body is the
 *   gzipped pprof. No multipart: with format=pprof that is taken for the profile itself (Pyroscope,
 *   pkg/ingester/pyroscope/ingest_handler.go).
 *   https://grafana.com/docs/pyroscope/latest/reference-server-api/
 * - connect: JSON {"series": [{"labels": [{"name", "value"} …], "samples": [{"ID",
 * "rawProfile"}]}]}, rawProfile in base64. Same page.
 * - parca: JSON of WriteRawRequest, proto/parca/profilestore/v1alpha1/profilestore.proto of
 *   https://github.com/parca-dev/parca, by its grpc-gateway.
 * - jsonl: application/x-ndjson, as dhatctl export writes it.
 *
 * Pyroscope adds up what came in an interval: what it gets of alloc_objects and alloc_space must be
 * since the profile before (since.h), while Parca, as of a Go program, wants them since the start.
 */
#include <stdio.h>

#include "proto/profile/snapshot.h"
#include "settings.h"

#define PUSH_QUERY_CHARS 4096
#define PUSH_TYPE_CHARS 64

/* Does it get what was allocated since the last one? */
bool request_is_since_last(enum push_form form);

/* since_unix_ns: the time before this profile's. The snapshot's figures are written as they are.
 * What fails at the stream shows there. */
int request_write(const struct push_settings *settings, const struct dhat_snapshot *snapshot,
		  uint64_t since_unix_ns, FILE *file, struct dhat_error *err);

struct request {    /* zeroed */
	FILE *body; /* at its begin */
	long begin;
	uint64_t size;
	char query[PUSH_QUERY_CHARS], type[PUSH_TYPE_CHARS];
};
/* Where it was to go; "" if it is none. */
void request_url(const char *path, char ret[PUSH_URL_CHARS]);
/* -EINVAL: is none. The caller closes ret->body. */
int request_open(const char *path, struct request *ret);
