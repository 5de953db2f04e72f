package cli

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"strings"
)

var (
	errNotAsked = errors.New("this must be confirmed, and there is no terminal to ask on")
	errDeclined = errors.New("nothing is changed")
)

// confirm asks the person at the terminal; without one, nobody has agreed.
func (s *session) confirm(ctx context.Context, question string) error {
	if !isTerminal(s.in) || !isTerminal(s.errw) {
		return WithExit(hinted(fmt.Errorf("%s %w", question, errNotAsked), "say it with --yes, or see how many there are with --dry-run"), ExitUsage)
	}
	fmt.Fprintf(s.errw, "%s [y/N] ", question)
	switch answer, err := s.line(ctx); {
	case err != nil:
		fmt.Fprintln(s.errw)
		return err
	case answer != "y" && answer != "yes":
		return errDeclined
	}
	return nil
}

// line reads what is typed, until the line or ctx ends. The reading cannot be called off: it is left behind, in
// a program that ends.
func (s *session) line(ctx context.Context) (string, error) {
	type typed struct {
		text string
		err  error
	}
	got := make(chan typed, 1)
	go func() {
		text, err := bufio.NewReader(s.in).ReadString('\n')
		got <- typed{strings.ToLower(strings.TrimSpace(text)), err}
	}()
	select {
	case t := <-got:
		if t.err != nil && t.text == "" {
			return "", errDeclined
		}
		return t.text, nil
	case <-ctx.Done():
		return "", context.Cause(ctx)
	}
}
