#pragma once
/* x86_64: what the kernel side takes for granted of the machine, for the kernel and for plain C. */

#define DHAT_PAGE_BYTES 4096
/* Addresses of user space lie below 2^47 (Documentation/arch/x86/x86_64/mm.rst); with five levels of
 * page tables, too, unless a program asks for more. */
#define DHAT_USER_BITS 47

/* struct rt_sigframe's ucontext (arch/x86/include/uapi/asm/sigcontext.h): rbp, rsp and rip lie at 40 +
 * 8 * {10, 15, 16} from its start, which is where rsp is when the handler has returned. */
#define DHAT_SIGNAL_RBP 120
#define DHAT_SIGNAL_RSP 160
#define DHAT_SIGNAL_RIP 168

/* Between loads that must keep their order. The processor keeps it (Intel SDM vol. 3, 9.2.2), so only
 * the compiler has to be told. (BPF has an instruction for other machines from 6.15 on.) */
#define DHAT_LOAD_FENCE() __asm__ volatile("" : : : "memory")

/* A load before all later ones. */
#define DHAT_LOAD_ACQUIRE(place)                                                                   \
	({                                                                                         \
		__typeof__(*(place)) value_ = *(const volatile __typeof__(*(place)) *)(place);     \
		DHAT_LOAD_FENCE();                                                                 \
		value_;                                                                            \
	})
