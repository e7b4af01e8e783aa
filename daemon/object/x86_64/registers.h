#pragma once
/* registers: what unwind rules call this machine's registers, and where a signal's frame keeps
 * them. */

/* DWARF numbers (psABI 3.6.2, figure 3.36) */
#define REG_FP 6
#define REG_SP 7
#define REG_RA 16

/* Where struct ucontext keeps them, from the stack pointer of a signal handler's return on
 * (asm/ucontext.h, asm/sigcontext.h). */
#define SIGNAL_FP_OFFSET 120
#define SIGNAL_SP_OFFSET 160
#define SIGNAL_PC_OFFSET 168
