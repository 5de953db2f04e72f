#include "textflag.h"

DATA ·start(SB)/8, $·code(SB)
GLOBL ·start(SB), RODATA|NOPTR, $8

// code is a program that says when it began: it sends a datagram with the time of its first instruction and the id of
// its execution to the address that stands in its data, and ends. It is never called: its bytes are put into a program
// of their own, so it uses nothing but registers and the stack.
TEXT ·code(SB),NOSPLIT|NOFRAME,$0-0
	MOVQ SP, BX // the number of arguments, the arguments, nothing, the environment
	SUBQ $64, SP

	// clock_gettime(CLOCK_MONOTONIC, SP)
	MOVQ $1, DI
	MOVQ SP, SI
	MOVQ $228, AX
	SYSCALL

	XORQ AX, AX
	MOVQ AX, 16(SP)
	MOVQ AX, 24(SP)
	MOVQ AX, 32(SP)
	MOVQ AX, 40(SP)
	MOVQ AX, 48(SP)

	// Look for ATTUNE_EXECUTION_ID= in the environment.
	MOVQ 0(BX), CX
	LEAQ 16(BX)(CX*8), BX
next:
	MOVQ 0(BX), SI
	TESTQ SI, SI
	JZ   send
	ADDQ $8, BX
	MOVQ $0x455f454e55545441, AX // "ATTUNE_E"
	CMPQ AX, 0(SI)
	JNE  next
	MOVQ $0x4e4f495455434558, AX // "XECUTION"
	CMPQ AX, 8(SI)
	JNE  next
	MOVL $0x3d44495f, AX // "_ID="
	CMPL AX, 16(SI)
	JNE  next
	MOVQ 20(SI), AX
	MOVQ AX, 16(SP)
	MOVQ 28(SI), AX
	MOVQ AX, 24(SP)
	MOVQ 36(SI), AX
	MOVQ AX, 32(SP)
	MOVQ 44(SI), AX
	MOVQ AX, 40(SP)
	MOVL 52(SI), AX
	MOVL AX, 48(SP)

	// socket(AF_INET, SOCK_DGRAM, 0)
send:
	MOVQ $2, DI
	MOVQ $2, SI
	XORQ DX, DX
	MOVQ $41, AX
	SYSCALL

	// sendto(socket, SP, 52, 0, data, 16)
	MOVQ AX, DI
	MOVQ SP, SI
	MOVQ $52, DX
	XORQ R10, R10
	MOVQ $66168, R8 // tinyelf.DataAt
	MOVQ $16, R9
	MOVQ $44, AX
	SYSCALL

	// exit(0)
	XORQ DI, DI
	MOVQ $60, AX
	SYSCALL
	INT  $3
