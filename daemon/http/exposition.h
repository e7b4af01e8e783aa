#pragma once
/* exposition: lines of Prometheus's text format 0.0.4.
 *
 * Each sample is of the family that was begun last. One byte that is no UTF-8, or one carriage
 * return, makes Prometheus refuse a whole page: values of labels are cleaned (text.h), whatever
 * they hold. Failures show at the stream.
 */
#include <stdint.h>
#include <stdio.h>

#define EXPOSITION_TYPE "text/plain; version=0.0.4; charset=utf-8"

struct exposition {
	FILE *file;
	const char *family;
	unsigned label_count; /* of the sample at hand */
};

/* type: "gauge" or "counter"; the name of a counter ends in _total. All are static and plain. */
void exposition_family(struct exposition *page, const char *name, const char *type,
		       const char *help);

/* A sample: begun, labelled as often as there are labels, and ended by its value. */
void exposition_begin(struct exposition *page);
void exposition_label(struct exposition *page, const char *name, const char *value);
void exposition_label_number(struct exposition *page, const char *name, uint64_t value);
void exposition_end(struct exposition *page, uint64_t value);
void exposition_end_real(struct exposition *page, double value); /* finite */
