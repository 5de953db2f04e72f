package tinyelf

const machine = 183 // EM_AARCH64
