/* A static program without any allocator: it waits to be killed. */
/* build: -static -nostdlib -ffreestanding -fno-stack-protector */
void _start(void)
{
	for (;;)
		__asm__ volatile("syscall" : : "a"(34 /* pause */) : "rcx", "r11", "memory");
}
