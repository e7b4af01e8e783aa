#pragma once
/* program: what a process is called where there is room for a word.
 *
 * Arguments may be long, and may hold passwords: they are told whole only where they are asked for.
 * Pure.
 */
#include <stdbool.h>
#include <stddef.h>

#define DHAT_PROGRAM_CHARS 64

/* The name of the program of a command line (arguments separated by blanks), without its folder:
 * "/usr/sbin/nginx -g x" → "nginx", "nginx: worker process" → "nginx". executable: the path of its
 * file, which tells where a name with blanks ends, and is taken where the command line is empty.
 * Cut to DHAT_PROGRAM_CHARS; "?" if nothing is known. Returns ret. */
const char *dhat_program_name(const char *command, const char *executable,
			      char ret[DHAT_PROGRAM_CHARS]);

/* What an interpreter runs: two processes of python3 are two programs if their scripts are. */
struct dhat_script {
	const char *text; /* in the command line */
	size_t length;	  /* 0: the program is no interpreter, or it shows nowhere */
	bool is_code;	  /* text is the code itself: `-c`, `-e`; else a file, a module, a class */
};
/* The first word of the command line that is neither an option nor an option's value, or what `-m`,
 * `-c`, `-jar` name; where the process has given itself a title, that. Words that hold blanks are
 * several here. */
struct dhat_script dhat_program_script(const char *command, const char *executable);
bool dhat_script_is_same(const struct dhat_script *a, const struct dhat_script *b);
/* The name with what it runs, without folders: "python3 worker.py", "python3 -m celery" is "python3
 * celery"; code is not told. */
const char *dhat_program_full_name(const char *command, const char *executable,
				   char ret[2 * DHAT_PROGRAM_CHARS]);
