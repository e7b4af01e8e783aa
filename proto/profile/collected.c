#include "collected.h"

#include <string.h>

#include "proto/base/cleanup.h"
#include "proto/base/text.h"

/* The beginnings of file names; "libruby-3.1.so.3.1", "lua5.4". */
static const struct {
	const char *file, *name;
} collectors[] = {
	{ "libruby", "ruby" },
	{ "ruby", "ruby" },
	{ "libjvm", "java" },
	{ "node", "node" },
	{ "nodejs", "node" },
	{ "libnode", "node" },
	{ "libcoreclr", ".NET" },
	{ "libclrjit", ".NET" },
	{ "libmono", "mono" },
	{ "libmonosgen", "mono" },
	{ "liblua", "lua" },
	{ "libluajit", "lua" },
	{ "lua", "lua" },
	{ "luajit", "lua" },
	{ "libguile", "guile" },
	{ "libgc", "the Boehm collector" },
	{ "libjulia", "julia" },
	{ "libR", "R" },
	{ "libHSrts", "Haskell" },
	{ "libmozjs", "JavaScript" },
	{ "libQt5Qml", "QML" },
	{ "libQt6Qml", "QML" },
	{ "libv8", "JavaScript" },
	{ "beam.smp", "erlang" },
	{ "libocaml", "OCaml" },
	{ "libcamlrun", "OCaml" },
	{ "libasmrun_shared", "OCaml" },
	{ "ocamlrun", "OCaml" },
};

static const char *name_of_file(const char *path)
{
	const char *file = dhat_text_base_name(path);

	for (size_t i = 0; i < ARRAY_SIZE(collectors); i++) {
		size_t length = strlen(collectors[i].file);

		/* the end, or a version: not "node_exporter" */
		if (!strncmp(file, collectors[i].file, length) &&
		    strchr(".-0123456789", file[length]))
			return collectors[i].name;
	}
	return NULL;
}

const char *dhat_collector_of(const struct dhat_snapshot *snapshot, const Dhat__ProgramPoint *point)
{
	const char *name = name_of_file(snapshot->head->target->executable);

	for (size_t i = 0; !name && i < point->n_frames; i++)
		name = name_of_file(snapshot->frames[point->frames[i] - 1]->object);
	return name;
}
