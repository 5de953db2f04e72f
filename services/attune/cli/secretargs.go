package cli

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"slices"
	"strings"

	"github.com/spf13/cobra"

	"github.com/attune/attune/pkg/client"
)

// What stands for a value that is better not written on the command line.
const (
	fromStdin   = "-"
	fromPrompt  = "@prompt"
	fromFile    = "@"
	bySecret    = "@secret:"
	sourcesHelp = `Others can see the command line (ps, shell history). A parameter that is secret can come from elsewhere: name=@prompt asks
for it, name=- reads it from stdin, name=@FILE from a file; one that is required and not given is asked for. Attune keeps
such a value sealed, and shows only that there is one. name=@secret:NAME refers to a stored secret, for any parameter.`
)

var errTwoStdins = errors.New("only one value can be read from stdin")

// hidden takes the values that arguments get from elsewhere out of them. What remains are key=value as they are.
func (s *session) hidden(args []string, root shape, sources bool) (values map[string]json.RawMessage, rest []string, err error) {
	values = map[string]json.RawMessage{}
	stdin := false
	for _, arg := range args {
		key, text, ok := strings.Cut(arg, "=")
		name, referred := strings.CutPrefix(text, bySecret)
		outside := sources && root.property(key).secret() && (text == fromStdin || strings.HasPrefix(text, fromFile))
		if !ok || strings.HasSuffix(key, ":") || !referred && !outside {
			rest = append(rest, arg)
			continue
		}
		if _, twice := values[key]; twice || text == fromStdin && stdin {
			return nil, nil, fmt.Errorf("%s: given twice, or %w", key, errTwoStdins)
		}
		stdin = stdin || text == fromStdin
		if referred {
			values[key], err = json.Marshal(map[string]string{"$secret": name})
		} else {
			values[key], err = s.outside(key, text, root.property(key))
		}
		if err != nil {
			return nil, nil, err
		}
	}
	for _, arg := range rest {
		if key, _, _ := strings.Cut(arg, "="); values[strings.TrimSuffix(key, ":")] != nil {
			return nil, nil, fmt.Errorf("%s is given twice", strings.TrimSuffix(key, ":"))
		}
	}
	return values, rest, nil
}

// outside reads the value of a secret parameter from where its text says.
func (s *session) outside(key, source string, of shape) (json.RawMessage, error) {
	text, err := s.read(key, source)
	if err != nil {
		return nil, err
	}
	value, err := of.value(text)
	if err != nil {
		return nil, fmt.Errorf("%s=%s: %w", key, source, err) // without the value
	}
	return value, nil
}

func (s *session) read(key, source string) (string, error) {
	switch source {
	case fromPrompt:
		f, ok := s.in.(*os.File)
		if !ok || !isTerminal(s.in) {
			return "", fmt.Errorf("%s=%s: stdin is no terminal; use %s=- for a value from stdin", key, source, key)
		}
		return s.ask(f, key)
	case fromStdin:
		data, err := io.ReadAll(io.LimitReader(s.in, maxSecret+1))
		if err == nil && len(data) > maxSecret {
			err = fmt.Errorf("the value is over %d bytes", maxSecret)
		}
		if err != nil {
			return "", fmt.Errorf("%s=-: %w", key, err)
		}
		return oneNewline(string(data)), nil
	}
	data, err := readInput(strings.TrimPrefix(source, fromFile), s.in, maxSecret)
	if err != nil {
		return "", fmt.Errorf("%s=%s: %w", key, source, err)
	}
	return oneNewline(string(data)), nil
}

// missing asks for the secrets that are required and not given, where somebody is there to answer.
func (s *session) missing(given map[string]json.RawMessage, args []string, root shape) error {
	f, ok := s.in.(*os.File)
	if !ok || !isTerminal(s.in) || !isTerminal(s.errw) {
		return nil
	}
	required, _ := root.node["required"].([]any)
	for _, v := range required {
		name, _ := v.(string)
		there := func(arg string) bool { return strings.HasPrefix(arg, name+"=") || strings.HasPrefix(arg, name+":=") }
		if given[name] != nil || !root.property(name).secret() || slices.ContainsFunc(args, there) {
			continue
		}
		text, err := s.ask(f, name)
		if err != nil {
			return err
		}
		if given[name], err = root.property(name).value(text); err != nil {
			return fmt.Errorf("%s: %w", name, err)
		}
	}
	return nil
}

// sources offers where the value of a parameter can come from.
func (s shape) sources(ctx context.Context, c *client.Client, key string) ([]cobra.Completion, error) {
	var out []cobra.Completion
	if s.property(key).secret() {
		out = append(out, cobra.CompletionWithDesc(key+"="+fromPrompt, "ask for it"), cobra.CompletionWithDesc(key+"="+fromStdin, "read it from stdin"))
	}
	secrets, _, err := c.Secrets(ctx, client.SecretScope{}, completionLimit)
	for _, x := range secrets {
		if x.Owner == "global" { // which pack's or user's it would be is for the service to find
			out = append(out, key+"="+bySecret+x.Name)
		}
	}
	return out, err
}
