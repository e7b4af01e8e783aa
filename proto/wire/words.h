#pragma once
/* words: what messages say in words and a reader acts upon. Others are to be shown only. */

#define DHAT_STATE_ATTACHED "attached" /* of a target: its figures go on */
#define DHAT_STATE_EXITED "exited"     /* its process has ended, by itself … */
#define DHAT_STATE_KILLED "killed"     /* … or by a signal */
#define DHAT_STACK_COMPLETE "complete" /* why a stack ends: there is no more of it */
/* Kinds of links, the best first. */
#define DHAT_LINK_NAMES "session", "multi", "perf"
