#pragma once
/* settings: where profiles are pushed to, in which form, and when. */
#include <stdbool.h>
#include <stdint.h>

#include "proto/base/error.h"

/* What is on the other side, by its documented HTTP interface (request.h). */
enum push_form {
	PUSH_FORM_OF_URL, /* as the path of the URL tells */
	PUSH_PYROSCOPE,	  /* POST …/ingest: Pyroscope, Grafana Alloy's pyroscope.receive_http */
	PUSH_CONNECT,	  /* POST …/push.v1.PusherService/Push: the same two, by Connect */
	PUSH_PARCA,	  /* POST …/api/profiles/writeraw: Parca's gateway */
	PUSH_JSONL,	  /* JSON lines to any path */
	PUSH_FORMS,
};

#define PUSH_URL_CHARS 2048
#define PUSH_SPOOL_BYTES (256ull << 20)
#define PUSH_SPOOL_LEAST (1ull << 20)
#define PUSH_TOKEN_CHARS 8192 /* those of Kubernetes have more than a thousand */

struct push_settings { /* zeroed: nothing is pushed; texts are owned */
	char *url;
	bool has_user; /* the URL has: the token is its password */
	enum push_form form;
	char *token_path, *ca_path, *tenant; /* NULL: none */
	uint64_t every_ns;		     /* 0: only when a trigger fires */
	uint64_t spool_bytes;		     /* 0: PUSH_SPOOL_BYTES */
};

/* -EINVAL: no such form. */
int push_form_of_name(const char *name, enum push_form *ret);
const char *push_form_name(enum push_form form);
#define PUSH_FORM_NAMES "pyroscope, connect, parca or jsonl"

/* Once all is given: what is left open is filled in, and what cannot be is refused with what to do
 * (DHAT_EXIT_USAGE): a URL that is none of HTTP, or has a password in it, a form that nothing
 * tells, a token that could be read on its way, nothing that would ever push. */
int push_settings_settle(struct push_settings *settings, bool has_triggers, struct dhat_error *err);
/* Do they mean one destination: its profiles wait in one queue? */
bool push_settings_is_same(const struct push_settings *a, const struct push_settings *b);
int push_settings_copy(const struct push_settings *settings, struct push_settings *ret);
void push_settings_deinit(struct push_settings *settings);
