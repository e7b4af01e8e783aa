#include "daemon/object/machine/machine.h"

#include <elf.h>
#include <linux/audit.h>

const struct machine this_machine = {
	.name = "x86-64",
	.elf = EM_X86_64,
	.audit = AUDIT_ARCH_X86_64,
	.longest_instruction_bytes = 15, /* Intel SDM, volume 2, 2.3.11 */
	/* rbp, rsp, return address: psABI 3.6.2, figure 3.36 */
	.dwarf_fp = 6,
	.dwarf_sp = 7,
	.dwarf_ra = 16,
	/* rax, rdi, as instructions encode them */
	.result_register = 0,
	.first_argument_register = 7,
	/* psABI 4.4.1 */
	.relocation_function = R_X86_64_JUMP_SLOT,
	.relocation_symbol = R_X86_64_GLOB_DAT,
	.relocation_base = R_X86_64_RELATIVE,
	.relocation_chosen = R_X86_64_IRELATIVE,
};

__attribute__((naked, noinline)) void machine_emulated_function(void)
{
	__asm__ volatile("push %rbp\n\tpop %rbp\n\tret");
}

__attribute__((naked, noinline)) int machine_answering_function(int argument)
{
	__asm__ volatile("mov %edi, %eax\n\tret");
}
