#include "textflag.h"

DATA ·initStart(SB)/8, $·initCode(SB)
GLOBL ·initStart(SB), RODATA|NOPTR, $8

// initCode is the first process of a room. It mounts the room's /proc, lets the kernel reap whatever is left to it,
// writes a byte to descriptor 1 to say so, closes what it was given, and waits until it is killed. When it cannot
// mount, its exit status is the error's number. It is never called: its bytes are put into a program of their own,
// so it uses nothing but registers and the stack.
TEXT ·initCode(SB),NOSPLIT|NOFRAME,$0-0
	SUBQ $64, SP
	MOVQ $0x636f72702f, AX // "/proc"
	MOVQ AX, 0(SP)
	MOVQ $0x636f7270, AX // "proc"
	MOVQ AX, 8(SP)

	// mount("proc", "/proc", "proc", MS_NOSUID|MS_NODEV|MS_NOEXEC, NULL)
	LEAQ 8(SP), DI
	LEAQ 0(SP), SI
	LEAQ 8(SP), DX
	MOVQ $14, R10
	XORQ R8, R8
	MOVQ $165, AX
	SYSCALL
	TESTQ AX, AX
	JNZ  failed

	// rt_sigaction(SIGCHLD, {SIG_IGN, SA_NOCLDWAIT}, NULL, 8)
	MOVQ $1, AX
	MOVQ AX, 16(SP)
	MOVQ $2, AX
	MOVQ AX, 24(SP)
	XORQ AX, AX
	MOVQ AX, 32(SP)
	MOVQ AX, 40(SP)
	MOVQ $17, DI
	LEAQ 16(SP), SI
	XORQ DX, DX
	MOVQ $8, R10
	MOVQ $13, AX
	SYSCALL

	// write(1, "/", 1)
	MOVQ $1, DI
	LEAQ 0(SP), SI
	MOVQ $1, DX
	MOVQ $1, AX
	SYSCALL

	// close(0), close(1), close(2)
	XORQ DI, DI
	MOVQ $3, AX
	SYSCALL
	MOVQ $1, DI
	MOVQ $3, AX
	SYSCALL
	MOVQ $2, DI
	MOVQ $3, AX
	SYSCALL

	// pause()
wait:
	MOVQ $34, AX
	SYSCALL
	JMP  wait

	// exit(error)
failed:
	NEGQ AX
	MOVQ AX, DI
	MOVQ $60, AX
	SYSCALL
	INT  $3
