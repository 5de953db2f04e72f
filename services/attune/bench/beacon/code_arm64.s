#include "textflag.h"

DATA ·start(SB)/8, $·code(SB)
GLOBL ·start(SB), RODATA|NOPTR, $8

// code is what code_amd64.s says.
TEXT ·code(SB),NOSPLIT|NOFRAME,$0-0
	MOVD RSP, R19 // the number of arguments, the arguments, nothing, the environment
	SUB  $64, RSP, RSP
	MOVD RSP, R20

	// clock_gettime(CLOCK_MONOTONIC, R20)
	MOVD $1, R0
	MOVD R20, R1
	MOVD $113, R8
	SVC

	MOVD ZR, 16(R20)
	MOVD ZR, 24(R20)
	MOVD ZR, 32(R20)
	MOVD ZR, 40(R20)
	MOVD ZR, 48(R20)

	// Look for ATTUNE_EXECUTION_ID= in the environment.
	MOVD (R19), R9
	LSL  $3, R9, R9
	ADD  R9, R19, R19
	ADD  $16, R19, R19
	MOVD $0x455f454e55545441, R11 // "ATTUNE_E"
	MOVD $0x4e4f495455434558, R12 // "XECUTION"
	MOVD $0x3d44495f, R13         // "_ID="
next:
	MOVD (R19), R10
	CBZ  R10, send
	ADD  $8, R19, R19
	MOVD (R10), R9
	CMP  R11, R9
	BNE  next
	MOVD 8(R10), R9
	CMP  R12, R9
	BNE  next
	MOVWU 16(R10), R9
	CMP  R13, R9
	BNE  next
	ADD  $20, R10, R10
	MOVD (R10), R9
	MOVD R9, 16(R20)
	MOVD 8(R10), R9
	MOVD R9, 24(R20)
	MOVD 16(R10), R9
	MOVD R9, 32(R20)
	MOVD 24(R10), R9
	MOVD R9, 40(R20)
	MOVWU 32(R10), R9
	MOVW R9, 48(R20)

	// socket(AF_INET, SOCK_DGRAM, 0)
send:
	MOVD $2, R0
	MOVD $2, R1
	MOVD $0, R2
	MOVD $198, R8
	SVC

	// sendto(socket, R20, 52, 0, data, 16)
	MOVD R20, R1
	MOVD $52, R2
	MOVD $0, R3
	MOVD $66168, R4 // tinyelf.DataAt
	MOVD $16, R5
	MOVD $206, R8
	SVC

	// exit(0)
	MOVD $0, R0
	MOVD $93, R8
	SVC
	BRK
