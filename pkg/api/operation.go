package api

import (
	"time"

	"github.com/attune/attune/streams"
)

// Runner is a runner that lives.
type Runner = streams.RunnerInfo

// Secret is the name of a secret. Values are never shown.
type Secret struct {
	Name      string     `json:"name"`
	Owner     string     `json:"owner" example:"pack:shop" doc:"global, pack:NAME or user:NAME"`
	Version   int64      `json:"version"`
	CreatedAt time.Time  `json:"created_at" doc:"When its first version was set"`
	UpdatedAt time.Time  `json:"updated_at" doc:"When this version was set"`
	ExpiresAt *time.Time `json:"expires_at,omitempty"`
	Expired   bool       `json:"expired,omitempty" doc:"It is not given to anybody any more, and will be deleted"`
}

// SecretValue sets a secret.
type SecretValue struct {
	Value string `json:"value" maxLength:"65536"`
	TTL   string `json:"ttl,omitempty" example:"24h" doc:"After which the value is not given any more; for ever when empty"`
}

// NamedSecret sets a secret that is named in the body.
type NamedSecret struct {
	Name  string `json:"name"`
	Pack  string `json:"pack,omitempty" doc:"The pack whose secret it is"`
	User  string `json:"user,omitempty" doc:"The user whose secret it is"`
	Value string `json:"value" maxLength:"65536"`
	TTL   string `json:"ttl,omitempty" example:"24h" doc:"After which the value is not given any more; for ever when empty"`
}

// SecretVersion is a version of a secret. Values are never shown.
type SecretVersion struct {
	Version   int64      `json:"version"`
	Current   bool       `json:"current"`
	CreatedAt time.Time  `json:"created_at"`
	KeyedAt   time.Time  `json:"keyed_at" doc:"When its data key was made"`
	KeyID     string     `json:"key_id" doc:"The key-encryption key that its data key is wrapped with"`
	ExpiresAt *time.Time `json:"expires_at,omitempty"`
	Expired   bool       `json:"expired,omitempty"`
}

// SecretRestore gives a secret the value of an earlier version.
type SecretRestore struct {
	Version int64  `json:"version" minimum:"1"`
	TTL     string `json:"ttl,omitempty" example:"24h" doc:"After which the value is not given any more; for ever when empty"`
}

// SecretKeys is how the keys of secrets stand.
type SecretKeys struct {
	Keys    []SecretKey `json:"keys"`
	Waiting []KeyHolder `json:"waiting" doc:"Processes that do not have the next key yet; nothing is wrapped with it until they do"`
	Left    int64       `json:"left" doc:"Versions of secrets that are still to be renewed"`
	Broken  int64       `json:"broken" doc:"Versions that could not be renewed, since they do not open"`
}

// SecretKey is a key-encryption key.
type SecretKey struct {
	ID        string    `json:"id"`
	State     string    `json:"state" enum:"next,current,old,retired"`
	Wraps     int64     `json:"wraps" doc:"Versions of secrets whose data key is wrapped with it"`
	CreatedAt time.Time `json:"created_at"`
	ChangedAt time.Time `json:"changed_at" doc:"When it came into this state"`
	Here      bool      `json:"here" doc:"The process that answers has it"`
}

// KeyHolder is a process that reads secrets.
type KeyHolder struct {
	ID   string `json:"id"`
	Host string `json:"host"`
}

// KeyChange says which key to go over to.
type KeyChange struct {
	To string `json:"to,omitempty" doc:"Its id; when empty the newest, which is made where that can be done"`
}

// Health is how the service stands.
type Health struct {
	Status  string  `json:"status" enum:"ok,unavailable"`
	Version string  `json:"version"`
	Checks  []Check `json:"checks,omitempty"`
}

// Check is one thing that the service needs.
type Check struct {
	Name  string `json:"name" example:"nats"`
	OK    bool   `json:"ok"`
	Error string `json:"error,omitempty"`
}
