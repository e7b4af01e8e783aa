#pragma once
/* registers: what unwind rules call this machine's registers, and where a signal's frame keeps
 * them. */

/* DWARF numbers (psABI 3.6.2, figure 3.36) */
#define REG_FP 6
#define REG_SP 7
#define REG_RA 16
