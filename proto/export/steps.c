#include "steps.h"

#include <errno.h>

#include "proto/base/cleanup.h"
#include "proto/base/json.h"

DEFINE_CLEANUP_PTR(struct json_object *, json_object_put)

static struct json_object *list_of(const Dhat__SnapshotHead *head)
{
	struct json_object *list = json_object_new_array();

	for (size_t i = 0; list && i < head->n_steps; i++)
		json_object_array_add(list, dhat_json_message(&head->steps[i]->base));
	return list;
}

int steps_put(FILE *file, const Dhat__SnapshotHead *head)
{
	_cleanup_(json_object_put_ptr) struct json_object *list = NULL;
	const char *text;

	if (!head->n_steps)
		return 0;
	list = list_of(head);
	text = list ? json_object_to_json_string_ext(list, JSON_C_TO_STRING_PLAIN) : NULL;
	if (!text)
		return -ENOMEM;
	fprintf(file, ",\"steps\":%s", text);
	return 0;
}
