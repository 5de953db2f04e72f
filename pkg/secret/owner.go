package secret

import (
	"errors"
	"fmt"
	"regexp"
	"strings"
	"unicode"
	"unicode/utf8"
)

// Owner says to whom a secret belongs: "global", "pack:NAME", "user:NAME" or "execution:ID". Secrets of different
// owners may have the same name.
type Owner string

// Global owns what every pack may use.
const Global Owner = "global"

// Kinds of owners, before the colon.
const (
	packKind      = "pack"
	userKind      = "user"
	executionKind = "execution"
)

// OfPack gives the owner of what only programs of that pack may use.
func OfPack(pack string) Owner { return Owner(packKind + ":" + pack) }

// OfUser gives the owner of what only executions that the user asked for may use.
func OfUser(user string) Owner { return Owner(userKind + ":" + user) }

// OfExecution gives the owner of the values that came with the request of an execution. They are never listed.
func OfExecution(id string) Owner { return Owner(executionKind + ":" + id) }

var (
	// ErrBadOwner is returned when a text names no owner.
	ErrBadOwner = errors.New("not an owner of secrets")
	// ErrBadName is returned when a text cannot name a secret of that owner.
	ErrBadName = errors.New("not a valid name of a secret")
)

var (
	// What packs may name, see pkg/pack: mostly names that can stand as variables of a shell.
	namePattern = regexp.MustCompile(`^[A-Za-z_][A-Za-z0-9_-]{0,127}$`)

	ownerPatterns = map[string]*regexp.Regexp{
		packKind:      regexp.MustCompile(`^[a-z][a-z0-9_-]{0,62}$`),
		userKind:      regexp.MustCompile(`^[A-Za-z0-9_][A-Za-z0-9_.@+-]{0,127}$`), // also a mail address
		executionKind: regexp.MustCompile(`^[A-Za-z0-9-]{1,64}$`),
	}
)

// maxPath bounds the name of an execution's secret, in bytes.
const maxPath = 512

// ValidName tells whether s may name a secret that a person sets.
func ValidName(s string) bool { return namePattern.MatchString(s) }

// Check returns ErrBadOwner when o is no owner.
func (o Owner) Check() error {
	kind, who, _ := strings.Cut(string(o), ":")
	if pattern, ok := ownerPatterns[kind]; o == Global || ok && pattern.MatchString(who) {
		return nil
	}
	return fmt.Errorf("%.70q: %w", string(o), ErrBadOwner)
}

// Pack gives the pack's name when a pack is the owner.
func (o Owner) Pack() (string, bool) { return strings.CutPrefix(string(o), packKind+":") }

// User gives the user's name when a user is the owner.
func (o Owner) User() (string, bool) { return strings.CutPrefix(string(o), userKind+":") }

// Execution gives the execution's id when an execution is the owner.
func (o Owner) Execution() (string, bool) { return strings.CutPrefix(string(o), executionKind+":") }

// checkName returns ErrBadName or ErrBadOwner when the owner can have no secret of that name. Those of executions
// are named by where they stood, which may hold any letters.
func (o Owner) checkName(name string) error {
	if err := o.Check(); err != nil {
		return err
	}
	good := ValidName(name)
	if _, ok := o.Execution(); ok {
		good = name != "" && len(name) <= maxPath && utf8.ValidString(name) && !strings.ContainsFunc(name, unicode.IsControl)
	}
	if !good {
		return fmt.Errorf("secret %.70q: %w", name, ErrBadName)
	}
	return nil
}

// Ref is the name of a secret and its owner.
type Ref struct {
	Owner Owner
	Name  string
}

// String gives the name, with its owner when that is not Global.
func (r Ref) String() string {
	if r.Owner == Global {
		return r.Name
	}
	return r.Name + " of " + string(r.Owner)
}
