package cli

import (
	"errors"
	"fmt"
	"io"
	"io/fs"
	"path/filepath"
	"sync"
	"time"

	"github.com/attune/attune/pkg/client"
	"github.com/attune/attune/pkg/config"
	"github.com/attune/attune/services/attune/local"
)

// target is where the API is and who said so.
type target struct {
	url   string
	token string
	ca    string // file with certificates that the API's is checked by; "": the system's
	name  string // that the API's certificate is for; "": the host of the address
	from  string // "" when the user named the address
}

// locate finds the API: by the flags, else by the environment, else by the file in the data folder. The file's
// token is given to nobody but the API that the file names.
func (a *app) locate() (target, error) {
	cfg, err := config.Load()
	if err != nil {
		return target{}, err
	}
	t := target{url: first(a.apiURL, cfg.APIURL), token: first(a.token, cfg.Token), ca: cfg.APICA}
	if t.url != "" && t.token != "" {
		return t, nil
	}
	dir := first(a.dataDir, cfg.DataDir)
	found, err := readAnnouncement(dir)
	switch {
	case t.url == "" && err != nil:
		return target{}, notRunning(filepath.Join(dir, local.FileName), err)
	case t.url == "":
		return target{
			url: found.APIURL, token: first(t.token, found.Token), ca: first(t.ca, found.APICA), name: found.APIName, from: filepath.Join(dir, local.FileName),
		}, nil
	case err == nil && found.APIURL == t.url:
		t.token, t.ca, t.name = found.Token, first(t.ca, found.APICA), found.APIName
	}
	t.token = first(t.token, signedIn(t.url))
	return t, nil
}

// errNoAddress is returned when the file in the data folder does not say where the API is.
var errNoAddress = errors.New("it does not say where the API is")

func readAnnouncement(dir string) (local.Announcement, error) {
	a, err := local.Read(dir)
	if err == nil && a.APIURL == "" {
		err = fmt.Errorf("read %s: %w", filepath.Join(dir, local.FileName), errNoAddress)
	}
	return a, err
}

func notRunning(file string, err error) error {
	hints := []string{
		"start one:               attune up",
		"or name its data folder: --data DIR, or ATTUNE_DATA_DIR",
		"or name another one:     --api-url http://HOST:PORT with ATTUNE_TOKEN, or ATTUNE_API_URL",
	}
	switch {
	case errors.Is(err, fs.ErrNotExist):
		return hinted(fmt.Errorf("no Attune is running here: there is no %s", file), hints...)
	case errors.Is(err, fs.ErrPermission):
		return hinted(fmt.Errorf("%s may not be read: Attune was started by another user", file), hints[1:]...)
	}
	return hinted(err, hints...)
}

// connect makes the client of the API that was found, which tells a person for what a request waits.
func (a *app) connect(errw io.Writer) (*client.Client, error) {
	t, err := a.locate()
	if err != nil {
		return nil, err
	}
	c, err := a.client(t, errw)
	if err != nil {
		return nil, WithExit(err, ExitUsage)
	}
	return c, nil
}

func (a *app) client(t target, errw io.Writer) (*client.Client, error) {
	c := a.config(t)
	if isTerminal(errw) {
		c.Later = laterNotice(errw)
	}
	return client.New(c)
}

// config says where an API is.
func (a *app) config(t target) client.Config {
	return client.Config{URL: t.url, Token: t.token, CAFile: t.ca, ServerName: t.name, Agent: "attune/" + a.version}
}

// impatient makes the client of an API that repeats nothing.
func (a *app) impatient(t target) (*client.Client, error) {
	c := a.config(t)
	c.Patience = -1
	return client.New(c)
}

// noticeAfter is how long a command waits without a word.
const noticeAfter = 500 * time.Millisecond

// laterNotice gives what says once for what a command waits, as soon as it is known that it will take a moment.
func laterNotice(w io.Writer) func(*client.Problem, time.Duration) {
	var once sync.Once
	return func(refusal *client.Problem, waited time.Duration) {
		if waited < noticeAfter {
			return
		}
		once.Do(func() {
			fmt.Fprintln(w, newPaint(w).dim(fmt.Sprintf("waiting for the API, up to %s: %s", client.LaterPatience, oneLine(clean(refusal.Error())))))
		})
	}
}

// first gives the first text that is not empty.
func first(texts ...string) string {
	for _, t := range texts {
		if t != "" {
			return t
		}
	}
	return ""
}
