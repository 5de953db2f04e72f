package api

import (
	"encoding/json"
	"time"
)

// Token is an API token, but for its text.
type Token struct {
	Name       string     `json:"name"`
	Role       string     `json:"role,omitempty" enum:"viewer,operator,editor,admin"`
	Packs      []string   `json:"packs,omitempty" doc:"Where the role holds; everywhere when absent."`
	Grants     []string   `json:"grants,omitempty" doc:"Besides the role, each as VERB KIND, VERB KIND in pack NAME, or VERB KIND in global."`
	CreatedAt  time.Time  `json:"created_at"`
	CreatedBy  string     `json:"created_by"`
	ExpiresAt  *time.Time `json:"expires_at,omitempty" doc:"Absent: never."`
	Expired    bool       `json:"expired"`
	LastUsedAt *time.Time `json:"last_used_at,omitempty" doc:"To the minute."`
}

// NewToken asks for a token.
type NewToken struct {
	Name    string   `json:"name" maxLength:"63" example:"ci"`
	Role    string   `json:"role,omitempty" enum:"viewer,operator,editor,admin"`
	Packs   []string `json:"packs,omitempty" maxItems:"100" doc:"Where the role holds; everywhere when absent."`
	Grants  []string `json:"grants,omitempty" maxItems:"200" doc:"Besides the role, such as: run actions in pack demo."`
	Expires string   `json:"expires,omitempty" default:"90d" doc:"A time, or after how long: 12h, 30d; never for none." example:"30d"`
}

// TokenCreated is a new token with its text, which is shown this once.
type TokenCreated struct {
	Token
	Text string `json:"token" doc:"What to send as Authorization: Bearer. It is kept nowhere."`
}

// User is a user.
type User struct {
	Name        string    `json:"name"`
	Role        string    `json:"role,omitempty" enum:"viewer,operator,editor,admin"`
	Packs       []string  `json:"packs,omitempty"`
	Grants      []string  `json:"grants,omitempty"`
	CreatedAt   time.Time `json:"created_at"`
	CreatedBy   string    `json:"created_by"`
	Disabled    bool      `json:"disabled"`
	HasPassword bool      `json:"has_password"`
}

// NewUser asks for a user.
type NewUser struct {
	Name     string   `json:"name" maxLength:"127" example:"ann"`
	Password string   `json:"password,omitempty" maxLength:"1024" doc:"At least 12 characters. Without one the user cannot sign in."`
	Role     string   `json:"role,omitempty" enum:"viewer,operator,editor,admin"`
	Packs    []string `json:"packs,omitempty" maxItems:"100"`
	Grants   []string `json:"grants,omitempty" maxItems:"200"`
}

// UserRights says what a user may do from now on.
type UserRights struct {
	Role   string   `json:"role,omitempty" enum:"viewer,operator,editor,admin"`
	Packs  []string `json:"packs,omitempty" maxItems:"100"`
	Grants []string `json:"grants,omitempty" maxItems:"200"`
}

// Password is another password of a user.
type Password struct {
	Password string `json:"password" maxLength:"1024" doc:"At least 12 characters."`
}

// SignIn proves a user.
type SignIn struct {
	Name     string `json:"name" maxLength:"127"`
	Password string `json:"password" maxLength:"1024"`
}

// Session says who calls, and what it may do.
type Session struct {
	Principal string     `json:"principal" example:"user:ann" doc:"admin, token:NAME or user:NAME: what executions and the audit name."`
	Grants    []string   `json:"grants"`
	ExpiresAt *time.Time `json:"expires_at,omitempty"`
}

// CodeExchange fetches the session that a browser has signed in for.
type CodeExchange struct {
	Code     string `json:"code" maxLength:"100"`
	Verifier string `json:"verifier" maxLength:"200" doc:"Whose SHA-256 was the challenge with which the sign-in began."`
}

// SessionOpened is a new session with its text, which is shown this once.
type SessionOpened struct {
	Text      string    `json:"session" doc:"What to send as Authorization: Bearer. It is kept nowhere."`
	Principal string    `json:"principal"`
	ExpiresAt time.Time `json:"expires_at"`
}

// AuditEntry is what somebody changed, or tried to.
type AuditEntry struct {
	Seq     int64           `json:"seq"`
	At      time.Time       `json:"at"`
	Actor   string          `json:"actor,omitempty" doc:"Absent for one that did not prove who it is."`
	Address string          `json:"address"`
	Action  string          `json:"action" example:"set-secret" doc:"The operation, as this document names it."`
	Kind    string          `json:"kind,omitempty" example:"secrets"`
	Object  string          `json:"object,omitempty"`
	Outcome string          `json:"outcome" enum:"begun,done,refused,failed" doc:"begun: nobody knows how it ended."`
	Detail  string          `json:"detail,omitempty" doc:"The code of a refusal or a failure."`
	Request string          `json:"request,omitempty" doc:"The id that the service's log has."`
	Before  json.RawMessage `json:"before,omitempty" doc:"What the object was, without values of secrets."`
	After   json.RawMessage `json:"after,omitempty" doc:"What it is since."`
	Hash    string          `json:"hash"`
}

// AuditReport is what was found in the audit.
type AuditReport struct {
	OK     bool         `json:"ok"`
	Rows   int64        `json:"rows"`
	Head   string       `json:"head" doc:"SEQ:HASH of the newest row. Note it somewhere else, and give it back as expect: then a cut off end is found."`
	Faults []AuditFault `json:"faults" doc:"At most 100."`
}

// AuditFault is what is wrong with the audit.
type AuditFault struct {
	Seq     int64  `json:"seq" doc:"The row at which it shows."`
	Message string `json:"message"`
}
