/* rows.so: code of each kind that rows are made of, with call frame information and without. The file is kept, so that
 * no assembler or linker has a part in what test_table_cache.c compares. It was made by
 *   gcc -shared -nostdlib -Wl,--build-id=none -Wl,-z,noseparate-code -o rows.so rows.S
 */
	.text
	.globl by_sp, by_fp, saves, signals, expression, outermost
	.type by_sp, @function
by_sp:
	.cfi_startproc
	push %rbx
	.cfi_def_cfa_offset 16
	.cfi_offset rbx, -16
	sub $48, %rsp
	.cfi_def_cfa_offset 64
	call by_fp
	add $48, %rsp
	.cfi_def_cfa_offset 16
	pop %rbx
	.cfi_def_cfa_offset 8
	ret
	.cfi_endproc
	.size by_sp, . - by_sp

	.type by_fp, @function
by_fp:
	.cfi_startproc
	push %rbp
	.cfi_def_cfa_offset 16
	.cfi_offset rbp, -16
	mov %rsp, %rbp
	.cfi_def_cfa_register rbp
	and $-64, %rsp
	.cfi_remember_state
	leave
	.cfi_def_cfa rsp, 8
	ret
	.cfi_restore_state
	call saves
	ud2
	.cfi_endproc
	.size by_fp, . - by_fp

	.type saves, @function
saves:
	.cfi_startproc
	push %r12
	.cfi_def_cfa_offset 16
	push %rbp
	.cfi_def_cfa_offset 24
	.cfi_offset rbp, -24
	xor %ebp, %ebp
	pop %rbp
	.cfi_restore rbp
	.cfi_def_cfa_offset 16
	pop %r12
	.cfi_def_cfa_offset 8
	ret
	.cfi_endproc
	.size saves, . - saves

	.type signals, @function
signals:
	.cfi_startproc
	.cfi_signal_frame
	mov $15, %rax
	syscall
	.cfi_endproc
	.size signals, . - signals

	.type expression, @function
expression:	/* rsp + 8 + ((rip & 15) >= 11) * 8: of a linkage table */
	.cfi_startproc
	.cfi_escape 0x0f, 11, 0x77, 8, 0x80, 0, 0x3f, 0x1a, 0x3b, 0x2a, 0x33, 0x24, 0x22
	push $1
	jmp by_sp
	.cfi_endproc
	.size expression, . - expression

	.type outermost, @function
outermost:
	.cfi_startproc
	.cfi_undefined rip
	call by_sp
	hlt
	.cfi_endproc
	.size outermost, . - outermost

/* ---- without call frame information ---- */
	.globl plain, framed, branches, gives_up, endless, returns_from_signal, started
	.p2align 4
	.type plain, @function
plain:
	push %rbx
	push %r12
	sub $24, %rsp
	call framed
	add $24, %rsp
	pop %r12
	pop %rbx
	ret
	.size plain, . - plain

	.p2align 4
	.type framed, @function
framed:
	push %rbp
	mov %rsp, %rbp
	sub $32, %rsp
	test %edi, %edi
	je 1f
	call branches
1:	leave
	ret
	.size framed, . - framed

	.p2align 4
	.type branches, @function
branches:
	push %rbp
	xor %ebp, %ebp
	cmp $3, %edi
	ja 2f
	sub $8, %rsp
	call plain
	add $8, %rsp
	pop %rbp
	ret
2:	call gives_up
	.size branches, . - branches

	.p2align 4
	.type gives_up, @function
gives_up:
	push %rax
	call endless
	.size gives_up, . - gives_up

	.p2align 4
	.type endless, @function
endless:
	hlt
	jmp endless
	.size endless, . - endless

	.p2align 4
	.type returns_from_signal, @function
returns_from_signal:
	nop
	mov $15, %rax
	syscall
	.size returns_from_signal, . - returns_from_signal

	.p2align 4
	.type started, @function
started:	/* as clone() does */
	mov $56, %eax
	syscall
	test %eax, %eax
	jne 3f
	xor %ebp, %ebp
	pop %rdi
	call *%r9
	hlt
3:	ret
	.size started, . - started

/* code that nobody is known to call, and that keeps frame pointers */
	.p2align 6
	.rept 64
	push %rbp
	mov %rsp, %rbp
	call *%rax
	pop %rbp
	ret
	.endr
