#include "textflag.h"

DATA ·initStart(SB)/8, $·initCode(SB)
GLOBL ·initStart(SB), RODATA|NOPTR, $8

// initCode is what init_amd64.s says.
TEXT ·initCode(SB),NOSPLIT|NOFRAME,$0-0
	SUB  $64, RSP, RSP
	MOVD RSP, R20
	MOVD $0x636f72702f, R9 // "/proc"
	MOVD R9, (R20)
	MOVD $0x636f7270, R9 // "proc"
	MOVD R9, 8(R20)

	// mount("proc", "/proc", "proc", MS_NOSUID|MS_NODEV|MS_NOEXEC, NULL)
	ADD  $8, R20, R0
	MOVD R20, R1
	ADD  $8, R20, R2
	MOVD $14, R3
	MOVD $0, R4
	MOVD $40, R8
	SVC
	CBNZ R0, failed

	// rt_sigaction(SIGCHLD, {SIG_IGN, SA_NOCLDWAIT}, NULL, 8)
	MOVD $1, R9
	MOVD R9, 16(R20)
	MOVD $2, R9
	MOVD R9, 24(R20)
	MOVD ZR, 32(R20)
	MOVD ZR, 40(R20)
	MOVD $17, R0
	ADD  $16, R20, R1
	MOVD $0, R2
	MOVD $8, R3
	MOVD $134, R8
	SVC

	// write(1, "/", 1)
	MOVD $1, R0
	MOVD R20, R1
	MOVD $1, R2
	MOVD $64, R8
	SVC

	// close(0), close(1), close(2)
	MOVD $0, R0
	MOVD $57, R8
	SVC
	MOVD $1, R0
	MOVD $57, R8
	SVC
	MOVD $2, R0
	MOVD $57, R8
	SVC

	// ppoll(NULL, 0, NULL, NULL, 0)
wait:
	MOVD $0, R0
	MOVD $0, R1
	MOVD $0, R2
	MOVD $0, R3
	MOVD $0, R4
	MOVD $73, R8
	SVC
	B    wait

	// exit(error)
failed:
	NEG  R0, R0
	MOVD $93, R8
	SVC
	BRK
