// Package account keeps who may call the API: tokens, users and their sessions. It proves who a caller is; what it
// may do is said by package access.
//
// It guarantees that no credential can be read from what is stored: of tokens and sessions, which are 256 random bits,
// there is a SHA-256; of passwords an argon2id hash with its own salt. They are compared in constant time. A credential
// is shown once, when it is made, and is good in every process at once. What was revoked, disabled, changed or has
// expired is refused within Every by every process that follows the store, and whoever waits on a credential, as open
// streams do, learns of it at the same moment. While PostgreSQL is away the last state that was read stays in force, but
// for what expires.
package account
