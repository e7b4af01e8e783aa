#pragma once
/* commandline: from the words that were typed to a command that runs.
 *
 * Options may stand before the command, too; `help COMMAND` is `COMMAND --help`; a word that is no
 * command is answered by the one that was meant, perhaps.
 */

/* All of dhatctl: prints, complains, and returns the exit status. */
int commandline_run(int argc, char **argv);
