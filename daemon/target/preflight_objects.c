/* What the files say that the process has mapped: what is probed there, and what is not. */
#include "preflight.h"

#include <errno.h>

#include "daemon/object/sites/hidden.h"

int preflight_executable(struct preflight *preflight, const struct object_desc *executable,
			 const char *path, size_t site_count)
{
	static const char how[] =
		"name its functions with --alloc 'BINARY:FUNCTION(size=arg1)' and "
		"--free 'BINARY:FUNCTION(ptr=arg1)', or BINARY+0xADDRESS";

	if (executable && executable->is_go && site_count == 0)
		return preflight_block(preflight, "go", ENOTSUP, DHAT_EXIT_NO_ALLOCATOR,
				       "%s is a Go program, whose heap does not come from malloc: "
				       "use Go's own profiler (net/http/pprof)",
				       path);
	if (executable && executable->is_go)
		return preflight_partial(
			preflight, "go",
			"a Go program: only what its C code allocates is seen, its own "
			"heap is not");
	if (site_count > 0)
		return 0;
	if (executable && executable->is_static && !executable->has_symtab &&
	    executable->entry_count > 0)
		return preflight_add(
			preflight, "static and stripped",
			"%s is linked statically and has no symbols: an attach looks for its "
			"allocator by its code, and is refused if that proves nothing",
			path);
	if (executable && executable->is_static && !executable->has_symtab)
		return preflight_block(
			preflight, "static and stripped", ENOENT, DHAT_EXIT_NO_ALLOCATOR,
			"%s is linked statically and has no symbols, so its allocator "
			"cannot be found: name its functions by where they begin, with --alloc "
			"'BINARY+0xADDRESS(size=arg1)' and --free 'BINARY+0xADDRESS(ptr=arg1)'",
			path);
	return preflight_block(preflight, "no allocator", ENOENT, DHAT_EXIT_NO_ALLOCATOR,
			       "no known allocator in process (%s): %s", path, how);
}

int preflight_sites(struct preflight *preflight, const struct sites *sites, const char *path)
{
	size_t i;
	int r = 0;

	for (i = 0; i < sites->count && r == 0; i++) {
		const struct site *site = &sites->list[i];

		if (site->is_refused)
			r = preflight_add(preflight, "unseen function",
					  "%s of %s: %s; what it does is "
					  "not counted",
					  site->function, path, site->note);
		else if (site->is_unknown)
			r = preflight_add(preflight, "unknown function",
					  "%s of %s looks like one of %s that dhatd does not know: "
					  "its calls are counted, and the first one makes the "
					  "profile inexact",
					  site->function, path, site->allocator);
		else if (!site->is_emulated && !site->by_us.operation)
			r = preflight_add(preflight, "slow probe",
					  "%s of %s has to be single-stepped, which costs some ten "
					  "times what the others do",
					  site->function, path);
		else if (site->is_repeated)
			r = preflight_add(preflight, "repeated probe",
					  "%s of %s jumps back to its entry: its probe may be hit "
					  "several times a call",
					  site->function, path);
	}
	return r;
}

int preflight_hidden(struct preflight *preflight, const struct object_desc *desc, const char *path,
		     uint32_t makers)
{
	char text[HIDDEN_TEXT_CHARS];
	int r = 0;

	for (unsigned maker = 0; maker < OBJECT_MAKER_COUNT && r == 0; maker++) {
		if (!(makers >> maker & 1))
			continue;
		hidden_describe(desc, path, maker, text, sizeof(text));
		r = preflight_partial(preflight, "hidden allocator", "%s", text);
	}
	return r;
}
