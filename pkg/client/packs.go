package client

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"time"

	"github.com/attune/attune/pkg/api"
)

// Install says how a pack is installed.
type Install struct {
	Source string        // who brings the pack; "": a user of the API. A pack stays with its source.
	Origin string        // where the archive came from, exactly; may be ""
	Switch string        // when the version goes in service, one of the api.Switch constants; "": api.SwitchAll
	Wait   time.Duration // how long the answer may wait for that
}

// InstallPack installs the pack of an archive, a tar that may be compressed, or a zip, and waits until it is in
// service. Installing the same again changes nothing.
func (c *Client) InstallPack(ctx context.Context, archive []byte, source string) (api.PackInstalled, error) {
	started, err := c.StartInstall(ctx, archive, Install{Source: source, Wait: 10 * time.Second})
	if err != nil {
		return started, err
	}
	return c.AwaitInstall(ctx, started, nil)
}

// StartInstall has a pack installed. The answer's State tells how far it came while the answer waited.
func (c *Client) StartInstall(ctx context.Context, archive []byte, in Install) (api.PackInstalled, error) {
	q := Filter{"source": in.Source, "origin": in.Origin, "switch": in.Switch, "wait": in.Wait.String()}.query()
	return call[api.PackInstalled](ctx, c, request{
		method: http.MethodPost, path: path("packs"), query: q, body: archive, safe: true,
		header: http.Header{"Content-Type": {"application/octet-stream"}},
	})
}

// AwaitInstall waits until what was started is in service, or ready where that is all it was to be. Progress, if it
// is not nil, is told how far the runners are. A version that failed is an error of code api.CodeInstallFailed.
func (c *Client) AwaitInstall(ctx context.Context, started api.PackInstalled, progress func(api.PackStatus)) (api.PackInstalled, error) {
	if started.State != api.PackBuilding {
		return started, nil
	}
	done := started
	err := c.resume(ctx, func() (bool, error) {
		status, err := callOnce[api.PackStatus](ctx, c, statusOf(started.Name))
		if err != nil && Code(err) != api.CodeNotFound { // a copy of the API that lags does not know it yet
			return false, err
		}
		v, ok := versionOf(status, started)
		if !ok {
			return false, fmt.Errorf("pack %s %s: %w", started.Name, started.Version, errUnknownVersion)
		}
		if progress != nil {
			progress(status)
		}
		done.State = v.State
		return true, judge(started, v)
	})
	return done, err
}

// errUnknownVersion is returned when the API does not know a version that it has recorded.
var errUnknownVersion = errors.New("the API does not know this version any more")

func versionOf(s api.PackStatus, of api.PackInstalled) (api.PackVersion, bool) {
	for _, v := range s.Versions {
		if v.Digest == of.Digest && v.Generation >= of.Generation {
			return v, true
		}
	}
	return api.PackVersion{}, false
}

// judge gives ErrStop when a version is where it was to be, and nil while it is on its way.
func judge(of api.PackInstalled, v api.PackVersion) error {
	switch v.State {
	case api.PackActive, api.PackReady:
		return ErrStop
	case api.PackBuilding:
		return nil
	}
	where := ""
	if v.Runner != "" {
		where = " on runner " + v.Runner
	}
	return &Problem{
		Title: http.StatusText(http.StatusUnprocessableEntity), Status: http.StatusUnprocessableEntity, Code: api.CodeInstallFailed, Install: &v,
		Detail: fmt.Sprintf("pack %s %s is not in service: it failed%s: %s", of.Name, v.Version, where, v.Error),
	}
}

// PackStatus shows a pack's versions, and how far each runner is.
func (c *Client) PackStatus(ctx context.Context, name string) (api.PackStatus, error) {
	return call[api.PackStatus](ctx, c, statusOf(name))
}

func statusOf(name string) request {
	return request{method: http.MethodGet, path: path("packs", name, "status")}
}

// SwitchPack puts the version in service that waits for it. State of the answer is api.PackBuilding when it is not
// ready yet: it goes in service when it is.
func (c *Client) SwitchPack(ctx context.Context, name string) (api.PackVersion, error) {
	return call[api.PackVersion](ctx, c, request{method: http.MethodPost, path: path("packs", name, "switch")})
}

// RollbackPack puts a version in service again: the one before, or the kept one that is named by its version or the
// beginning of its digest.
func (c *Client) RollbackPack(ctx context.Context, name, version string) (api.PackVersion, error) {
	req, err := withJSON(request{method: http.MethodPost, path: path("packs", name, "rollback")}, api.PackRollback{Version: version})
	if err != nil {
		return api.PackVersion{}, err
	}
	return call[api.PackVersion](ctx, c, req)
}

// UninstallPack removes a pack with all that it defines. Rules of other packs that need it are in the way, unless
// force removes them too; the answer names them.
func (c *Client) UninstallPack(ctx context.Context, name string, force bool) (api.PackUninstalled, error) {
	q := url.Values{}
	if force {
		q.Set("force", "true")
	}
	return call[api.PackUninstalled](ctx, c, request{method: http.MethodDelete, path: path("packs", name), query: q})
}

// PackConfig shows the configuration of a pack.
func (c *Client) PackConfig(ctx context.Context, name string) (api.PackConfig, error) {
	return get[api.PackConfig](ctx, c, path("packs", name, "config"), nil)
}

// SetPackConfig sets the configuration of a pack, all of it.
func (c *Client) SetPackConfig(ctx context.Context, name string, config []byte) (api.PackConfig, error) {
	req, err := withJSON(request{method: http.MethodPut, path: path("packs", name, "config")}, api.PackConfig{Config: config})
	if err != nil {
		return api.PackConfig{}, err
	}
	return call[api.PackConfig](ctx, c, req)
}

// InstallLog says which part of an installation's log to read.
type InstallLog struct {
	Pack    string
	Version string // or the beginning of its digest; "": the newest
	Runner  string // or the beginning of its name; "": the one that says most
	Offset  int64
	Tail    int
	Follow  bool // go on until the installation has ended
}

// InstallLog copies the log of an installation to w. A broken connection is resumed where it stopped.
func (c *Client) InstallLog(ctx context.Context, l InstallLog, w io.Writer) error {
	q := Filter{"version": l.Version, "runner": l.Runner}.query()
	if l.Follow {
		q.Set("follow", "true")
	}
	at := position{path: path("packs", l.Pack, "log"), query: q, offset: l.Offset, tail: l.Tail}
	return c.resume(ctx, func() (bool, error) { return c.copyOnce(ctx, &at, w) })
}
